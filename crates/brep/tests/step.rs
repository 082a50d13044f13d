//! Real files read by Open CASCADE: generated parts are read back as written, and unreadable files
//! give a reason. Needs the feature: `BAUTA_OCCT=DIR cargo test -p bauta-brep --features occt`,
//! where DIR is `open-cascade` in the cache folder after `cargo xtask prepare-step`.

#![cfg(feature = "occt")]
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod of_files;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bauta_brep::generate::Parts;
use bauta_brep::geometry::{
    CLASSES, Domain, Face, Frame, Graph, Holdout, PartSplits, Surface, Trim, surface_of,
};
use bauta_brep::step::{Outcome, PrepareOptions, prepare_folder, read};
use bauta_brep::{Part, Sampling, Solid};
use glam::{DVec2, DVec3};

use self::of_files::{assembly, header, pages};

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

    /// Prepares one file and reads the part.
    fn part(&self, name: &str, text: &str) -> Part {
        let path = self.write(name, text);
        let faces = self.options().prepare_file(&path).unwrap();
        let part = Part::read(&self.0.path().join(format!("out/{name}.part"))).unwrap();
        assert_eq!(part.faces.len(), faces);
        part
    }

    /// Prepares the folder with the program itself and returns the outcome of each file.
    fn prepared(&self, options: &PrepareOptions) -> Vec<(String, Outcome)> {
        let command = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_prepare-step"));
            command.arg(&options.input).arg("--out").arg(&options.output);
            command.arg("--memory").arg((options.bytes >> 20).to_string());
            command.arg("--seconds").arg(options.seconds.to_string()).arg("--files");
            command
        };
        let prepared = prepare_folder(options, command, |_, _| {}).unwrap();
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        prepared.files.into_iter().map(|(path, outcome)| (name(&path), outcome)).collect()
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

/// Generated parts that are written as STEP and read back have the same labels and features.
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
                // A plane's parametrisation is the same only up to rotations and reflections.
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
        ("empty.step", "", "not a STEP file"),
        ("words.stp", "what is this", "not a STEP file"),
        ("words.brep", "what is this", "not a BREP file"),
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
    place.write("labelled.seg", "1\n10000\n");
    assert!(place.refusal(&path).contains("must be a class below 10000"));
    fs::write(path.with_extension("seg"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(place.refusal(&path).contains("its .seg file cannot be read"));
    let path = place.write("two.step", &assembly());
    assert!(place.refusal(&path).contains("an assembly of 2 bodies"));
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

#[test]
fn sheets_splines_and_edges_of_three_faces_are_parts() {
    let place = Place::new();
    // A sheet without thickness, of one face.
    let sheet = place.part("sheet.step", &pages(1, false));
    assert_eq!((sheet.edges.len(), sheet.vertices.len(), sheet.face_face.len()), (4, 4, 0));
    // At the one edge that they share, each face meets the next.
    let book = place.part("book.step", &pages(3, false));
    assert_eq!((book.faces.len(), book.edges.len(), book.face_face.len()), (3, 10, 2));
    assert!(book.faces.iter().all(|row| row[0] == 1.0));
    let splines = place.part("splines.step", &pages(1, true));
    assert_eq!(splines.faces[0][..20], [0.0; 20], "a spline has no simple kind");
    assert!(splines.edges.iter().all(|row| row[..17] == [0.0; 17]));
    let inside = splines.targets.iter().filter(|target| target[5] < 0.0).count();
    assert!(inside > 20 && inside < 100, "{inside} of 100 inside");
    for target in &splines.targets {
        assert!(target[2..5].iter().all(|x| x.abs() < 1.0 + 1e-5), "{target:?}");
    }
}

#[test]
fn several_bodies_are_one_part_where_that_is_asked_for() {
    let place = Place::new();
    let path = place.write("two.step", &assembly());
    let options = PrepareOptions { assemblies: true, ..place.options() };
    assert_eq!(options.prepare_file(&path).unwrap(), read(&path).unwrap().names.len());
}

/// With little memory, only the file fails, with a reason.
#[test]
fn memory_is_bounded() {
    let place = Place::new();
    place.write("part.step", &Parts { seed: 0 }.solid(1).to_step().unwrap());
    let sizes = [4 << 30, 1 << 20];
    let [enough, little] =
        sizes.map(|bytes| place.prepared(&PrepareOptions { bytes, ..place.options() }));
    assert!(matches!(enough[0].1, Outcome::Part(_)), "{enough:?}");
    assert!(matches!(&little[0].1, Outcome::Skipped(_)), "{little:?}");
    assert!(!place.0.path().join("out/part.step.part").exists(), "what was left is gone");
}

/// Invalid files, prepared by the program: each ends soon, with a reason of one line.
#[test]
fn hostile_files_end_soon_with_a_reason() {
    let place = Place::new();
    let text = Parts { seed: 0 }.solid(1).to_step().unwrap();
    let data = |entities: &str| format!("{}{entities}ENDSEC;\nEND-ISO-10303-21;\n", header());
    let nested = format!("#30=A({}{});\n", "(".repeat(200_000), ")".repeat(200_000));
    let circle = "#20=SHELL_BASED_SURFACE_MODEL('',(#20));\n";
    for (name, text) in [
        ("nested.step", data(&nested)),
        ("circle.step", data(circle)),
        ("numbers.step", data("#99999999999999999999=A();\n")),
        ("twice.step", data("#30=A();\n#30=B();\n")),
        ("zeros.step", "\0".repeat(100_000)),
        ("half.step", text[..text.len() / 2].to_owned()),
    ] {
        place.write(name, &text);
    }
    place.write("good.step", &text);
    let options = PrepareOptions { seconds: 20, ..place.options() };
    for (name, outcome) in place.prepared(&options) {
        match outcome {
            Outcome::Part(_) => assert_eq!(name, "good.step"),
            Outcome::Skipped(reason) => {
                assert!(name != "good.step" && !reason.is_empty(), "{name}: {reason}");
                assert!(!reason.contains("took more than"), "{name}: {reason}");
            }
        }
    }
}

/// Huge coordinates keep the kernel busy until the time limit.
#[test]
fn time_is_bounded() {
    let place = Place::new();
    let text = Parts { seed: 0 }.solid(1).to_step().unwrap();
    place.write("far.step", &text.replace("POINT('',(", "POINT('',(1.E300"));
    let start = std::time::Instant::now();
    let outcomes = place.prepared(&PrepareOptions { seconds: 3, ..place.options() });
    assert!(matches!(&outcomes[0].1, Outcome::Skipped(_)), "{outcomes:?}");
    assert!(start.elapsed().as_secs() < 30);
}

/// Too few class names for the labels are reported during preparation.
#[test]
fn classes_that_are_not_named_are_refused() {
    let place = Place::new();
    let text = Parts { seed: 0 }.solid(1).to_step().unwrap();
    let faces = text.matches("ADVANCED_FACE").count();
    for name in ["a", "b", "c", "d", "e", "f"] {
        place.write(&format!("{name}.step"), &text);
        place.write(&format!("{name}.seg"), &"0\n".repeat(faces));
    }
    place.write("a.seg", &format!("{}9\n", "0\n".repeat(faces - 1)));
    place.write(CLASSES, "one\ntwo\n");
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prepare-step"));
        command.arg(place.options().input).arg("--out").arg(place.options().output).arg("--files");
        command
    };
    let error = prepare_folder(&place.options(), command, |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("a face has label 9, and classes.txt names 2 classes"), "{error}");
    fs::remove_file(place.0.path().join("in").join(CLASSES)).unwrap();
    place.prepared(&place.options());
    let holdout = Holdout { fraction: 0.5, by_base_name: false };
    let splits = PartSplits::open(&place.options().output, &holdout, None).unwrap();
    assert_eq!(splits.classes.len(), 10);
}

/// A single file without labels keeps all classes from being learned, so it is named.
#[test]
fn files_without_labels_among_others_are_told() {
    let place = Place::new();
    place.write("a.step", &Parts { seed: 0 }.solid(1).to_step().unwrap());
    let bare = place.write("bare.step", &pages(1, false));
    let options = place.options();
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prepare-step"));
        command.arg(&options.input).arg("--out").arg(&options.output).arg("--files");
        command
    };
    let prepared = prepare_folder(&options, command, |_, _| {}).unwrap();
    assert_eq!((prepared.parts(), prepared.unlabelled), (2, vec![bare.clone()]));
    assert!(!options.output.join(CLASSES).exists());
    fs::remove_file(bare).unwrap();
    let prepared = prepare_folder(&options, command, |_, _| {}).unwrap();
    assert!(prepared.unlabelled.is_empty());
    assert!(options.output.join(CLASSES).exists());
}

/// A link to a file is the file, under the link's name.
#[test]
fn links_are_followed() {
    let place = Place::new();
    let elsewhere = place.0.path().join("elsewhere.step");
    fs::write(&elsewhere, Parts { seed: 0 }.solid(1).to_step().unwrap()).unwrap();
    let link = place.write("first.step", "");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let outcomes = place.prepared(&place.options());
    assert!(matches!(&outcomes[..], [(name, Outcome::Part(_))] if name == "first.step"));
}

/// A process that crashes, hangs or says nothing fails its own file and no other.
#[test]
fn one_file_cannot_take_the_others_along() {
    let place = Place::new();
    // From sixteen files on, there are several per process.
    let names = ["a", "crash", "good", "hang", "large", "noisy", "silent", "z"];
    for name in (0..3).flat_map(|i| names.map(|name| format!("{i}{name}"))) {
        place.write(&format!("{name}.step"), "");
    }
    let options = PrepareOptions { seconds: 1, jobs: 1, ..place.options() };
    let script = "for file; do case $file in *crash*) kill -SEGV $$;; *hang*) exec sleep 20;; \
                  *good*) echo bauta left: broken;; *large*) echo bauta left: std::bad_alloc;; \
                  *silent*) exit 0;; *noisy*) yes kernel | head -n 40000; echo bauta part: 3;; \
                  *) echo bauta part: 7;; esac; done";
    let command = || {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]);
        command
    };
    let prepared = prepare_folder(&options, command, |_, _| {});
    // The parts were never written, so their classes cannot be looked up.
    assert!(prepared.unwrap_err().to_string().contains("0a.step.part"));
    let told = std::sync::Mutex::new(Vec::new());
    prepare_folder(&options, command, |path, outcome| {
        told.lock().unwrap().push((path.to_owned(), outcome.clone()));
    })
    .unwrap_err();
    let told = told.into_inner().unwrap();
    assert_eq!(told.len(), 24, "each file is told of once");
    for (path, outcome) in told {
        let name = path.file_stem().unwrap().to_string_lossy()[1..].to_owned();
        match (&*name, outcome) {
            ("a" | "z", Outcome::Part(7)) | ("noisy", Outcome::Part(3)) => {}
            ("crash", Outcome::Skipped(reason)) if reason.contains("SIGSEGV") => {}
            ("hang", Outcome::Skipped(reason)) if reason == "it took more than 1 seconds" => {}
            ("good", Outcome::Skipped(reason)) if reason == "broken" => {}
            ("silent", Outcome::Skipped(reason)) if reason.contains("ended with") => {}
            ("large", Outcome::Skipped(reason)) if reason.contains("4096 MiB") => {}
            (name, outcome) => panic!("{name}: {outcome:?}"),
        }
    }
}
