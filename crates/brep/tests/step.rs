//! Real files by Open CASCADE: generated parts come back as they were written, and what cannot
//! be read is said. Needs the feature: `BAUTA_OCCT=DIR cargo test -p bauta-brep --features occt`,
//! where DIR is `open-cascade` in the cache folder after `cargo xtask prepare-step`.

#![cfg(feature = "occt")]
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bauta_brep::generate::Parts;
use bauta_brep::geometry::{Domain, Face, Frame, Graph, Surface, Trim, surface_of};
use bauta_brep::step::{Outcome, PrepareOptions, prepare_folder, read};
use bauta_brep::{Part, Sampling, Solid};
use glam::{DVec2, DVec3};

const SAMPLING: Sampling = Sampling { candidates: 400, kept: 100, near: 0.4 };

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn options(&self) -> PrepareOptions {
        PrepareOptions {
            input: self.0.path().join("in"),
            output: self.0.path().join("out"),
            sampling: SAMPLING,
            assemblies: false,
            seconds: 60,
            bytes: 4 << 30,
            jobs: 2,
        }
    }

    fn refusal(&self, path: &Path) -> String {
        self.options().prepare_file(path).unwrap_err().to_string()
    }
}

/// A part that is one face without edges.
fn lone(surface: Surface, high: DVec2) -> Solid {
    let face = Face { surface, flipped: false, domain: Domain { low: DVec2::ZERO, high } };
    let graph = Graph {
        faces: vec![face],
        edges: Vec::new(),
        vertices: Vec::new(),
        loops: Vec::new(),
        vertex_edge: Vec::new(),
        edge_loop: Vec::new(),
        loop_face: Vec::new(),
        bounds: [DVec3::NEG_ONE, DVec3::ONE],
    };
    Solid { graph, trims: vec![Trim::Everything], labels: vec![0] }
}

/// Sheet, invariant 10.
#[test]
fn generated_parts_come_back_with_their_labels_and_features() {
    let place = Place::new();
    for number in 0..20 {
        let solid = Parts { seed: 9 }.solid(number);
        let path = place.write(&format!("{number}.step"), &solid.to_step().unwrap());
        let shape = read(&path).unwrap();
        assert_eq!(shape.names.len(), solid.labels.len(), "part {number}");
        assert_eq!(place.options().prepare_file(&path).unwrap(), solid.labels.len());
        let found = Part::read(&place.0.path().join(format!("out/{number}.step.part"))).unwrap();
        let own = Parts { seed: 9 }.prepared(number, &SAMPLING).unwrap();
        assert_eq!((&found.labels, &found.face_face.len()), (&own.labels, &own.face_face.len()));
        for (row, wanted) in found.faces.iter().zip(&own.faces) {
            let off = row.iter().zip(wanted).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f32::max) < 1e-4, "part {number}: {row:?} for {wanted:?}");
        }
        for face in 0..found.faces.len() {
            let surface = surface_of(&found.faces[face]);
            let domain = found.domains[face].map(f64::from);
            let [low, high] = [DVec2::new(domain[0], domain[1]), DVec2::new(domain[2], domain[3])];
            let mut wrong = 0;
            for target in found.targets_of(face) {
                let unit = DVec2::new(f64::from(target[0]), f64::from(target[1]));
                let point = surface.point(Domain { low, high }.at(unit)).unwrap();
                let at = DVec3::new(target[2].into(), target[3].into(), target[4].into());
                assert!(point.distance(at) < 1e-4, "part {number} face {face}");
                let exact = solid.trims[face].distance(unit);
                // The parametrisation is the same for planes up to turns and mirrors only.
                if !matches!(surface, Surface::Plane(_)) && exact.abs() > 1e-4 {
                    wrong += usize::from((exact < 0.0) != (target[5] < 0.0));
                }
            }
            assert_eq!(wrong, 0, "part {number} face {face}: {surface:?}");
        }
    }
}

#[test]
fn what_is_no_part_is_refused_with_a_reason() {
    let place = Place::new();
    let text = Parts { seed: 0 }.solid(1).to_step().unwrap();
    for (name, text, reason) in [
        ("empty.step", "", "no STEP file"),
        ("words.stp", "what is this", "no STEP file"),
        ("words.brep", "what is this", "no BREP file"),
        ("bodiless.step", &text.replace("#9=SHAPE_DEFINITION", "#9=SHAPE_NOTHING"), "no shape"),
    ] {
        let path = place.write(name, text);
        let error = place.refusal(&path);
        assert!(error.contains(reason), "{name}: {error}");
    }
    let cut = place.write("cut.step", &text[..text.len() / 2]);
    assert!(place.options().prepare_file(&cut).is_err());
    let path = place.write("labelled.step", &text);
    place.write("labelled.seg", "1\n2\n");
    let error = place.refusal(&path);
    assert!(error.contains("its .seg file has 2 labels for"), "{error}");
    place.write("labelled.seg", "1\nslot\n");
    assert!(place.refusal(&path).contains("has the line \"slot\""));
    assert!(!place.0.path().join("out").exists(), "a refused file leaves nothing");
}

#[test]
fn faces_without_edges_are_parts() {
    let frame = Frame { origin: DVec3::ZERO, z: DVec3::Z, x: DVec3::X };
    let place = Place::new();
    let turn = std::f64::consts::TAU;
    for (name, surface, high) in [
        ("ball.step", Surface::Sphere { frame, radius: 3.0 }, DVec2::new(turn, 1.5)),
        ("ring.step", Surface::Torus { frame, major: 3.0, minor: 1.0 }, DVec2::new(turn, turn)),
    ] {
        let path = place.write(name, &lone(surface, high).to_step().unwrap());
        assert_eq!(place.options().prepare_file(&path).unwrap(), 1);
        let part = Part::read(&place.0.path().join(format!("out/{name}.part"))).unwrap();
        assert_eq!(part.faces.len(), 1);
        if name == "ring.step" {
            assert!(part.targets.iter().all(|target| target[5] == -0.1));
        }
    }
}

/// A process that crashes, hangs or says nothing costs its file and no other.
#[test]
fn one_file_cannot_take_the_others_along() {
    let place = Place::new();
    for name in ["crash", "hang", "good", "silent"] {
        place.write(&format!("{name}.step"), "");
    }
    let options = PrepareOptions { seconds: 1, ..place.options() };
    let script = "case $1 in *crash*) kill -SEGV $$;; *hang*) sleep 20;; *good*) \
                  echo broken >&2; exit 1;; esac";
    let command = || {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]);
        command
    };
    let prepared = prepare_folder(&options, command, |_, _| {}).unwrap();
    let outcomes: Vec<String> = prepared
        .files
        .iter()
        .map(|(_, outcome)| match outcome {
            Outcome::Skipped(reason) => reason.clone(),
            Outcome::Part(faces) => faces.to_string(),
        })
        .collect();
    assert!(outcomes[0].contains("SIGSEGV"), "{outcomes:?}");
    assert_eq!(outcomes[1], "broken");
    assert_eq!(outcomes[2], "it took more than 1 seconds");
    assert!(outcomes[3].contains("ended by"), "{outcomes:?}");
    assert_eq!(prepared.parts(), 0);
}
