//! Generated parts: their topology, their exact geometry, their files.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod of_solids;

use std::collections::HashMap;

use bauta_brep::generate::Parts;
use bauta_brep::geometry::{
    Domain, Sampling, Solid, Surface, Target, Trim, nearest_opposite, surface_of,
};
use bauta_brep::{Feature, Part};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use glam::{DVec2, DVec3, Vec3};
use proptest::prelude::*;

use self::of_solids::{area, graph_loops, moved, project, quarter_turn, turned};

const SAMPLING: Sampling = Sampling { candidates: 300, kept: 60, near: 0.4 };

fn solid(number: u64) -> Solid {
    Parts { seed: 3 }.solid(number)
}

fn stream(sample: u64) -> RandomStream {
    StreamKey { seed: 11, purpose: Purpose::named("test"), epoch: 0, sample }.stream()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each edge is used twice, once in each direction, and Euler's formula holds with one handle
    /// per passage through the part.
    #[test]
    fn the_boundary_is_closed(number in 0_u64..2000) {
        let graph = solid(number).graph;
        graph.check().unwrap();
        let mut directions: HashMap<u32, Vec<bool>> = HashMap::new();
        for it in &graph.edge_loop {
            directions.entry(it.from).or_default().push(it.flag);
        }
        for edge in 0..graph.edges.len() as u32 {
            let mut used = directions.remove(&edge).unwrap_or_default();
            used.sort_unstable();
            prop_assert_eq!(used, [false, true]);
        }
        let [v, e, f, l] =
            [graph.vertices.len(), graph.edges.len(), graph.faces.len(), graph.loops.len()];
        let euler = (v + 2 * f) as i64 - (e + l) as i64;
        prop_assert!(euler <= 2 && euler % 2 == 0, "V {v} E {e} F {f} L {l}");
    }

    /// Edges start and end at their vertices, loops continue from edge to edge, and each edge lies
    /// on the boundary of its faces.
    #[test]
    fn edges_lie_on_their_faces(number in 0_u64..2000) {
        let Solid { graph, trims, .. } = solid(number);
        let mut ends = vec![[0_usize; 2]; graph.edges.len()];
        for it in &graph.vertex_edge {
            ends[it.to as usize][usize::from(!it.flag)] = it.from as usize;
        }
        for (edge, ends) in graph.edges.iter().zip(&ends) {
            for (t, vertex) in edge.range.iter().zip(ends) {
                let off = edge.curve.point(*t).unwrap().distance(graph.vertices[*vertex]);
                prop_assert!(off < 1e-9, "{off}");
            }
        }
        for (number, face) in graph.loop_face.iter().enumerate() {
            let uses: Vec<_> =
                graph.edge_loop.iter().filter(|it| it.to as usize == number).collect();
            for (it, next) in uses.iter().zip(uses.iter().cycle().skip(1)) {
                let end = ends[it.from as usize][usize::from(!it.flag)];
                let start = ends[next.from as usize][usize::from(next.flag)];
                prop_assert_eq!(end, start);
            }
            let face_number = *face as usize;
            let face = &graph.faces[face_number];
            for it in uses {
                for point in graph.edges[it.from as usize].points(5).unwrap() {
                    let (uv, off) = project(&face.surface, &face.domain, point);
                    prop_assert!(off < 1e-7, "{off} off {:?}", face.surface);
                    if !matches!(trims[face_number], Trim::Band) {
                        let distance = trims[face_number].distance(face.domain.unit(uv));
                        prop_assert!(distance.abs() < 1e-7, "{distance}");
                    }
                }
            }
        }
    }

    /// For planar faces, the inside fraction of the parameter box equals the
    /// area by Green's formula from the solid's edges.
    #[test]
    fn inside_shares_are_areas(number in 0_u64..500) {
        let Solid { graph, trims, .. } = solid(number);
        let mut stream = stream(number);
        for (face, trim) in graph.faces.iter().zip(&trims) {
            let Surface::Plane(_) = face.surface else { continue };
            let side = (face.domain.high - face.domain.low).abs();
            // One point in each cell of a lattice.
            let cells = 80;
            let mut place =
                |cell: i32| (f64::from(cell) + stream.uniform_in(0.0, 1.0)) / f64::from(cells);
            let inside = (0..cells * cells)
                .filter(|i| {
                    let at = DVec2::new(place(i % cells), place(i / cells));
                    trim.distance(at) < 0.0
                })
                .count();
            let share = inside as f64 / f64::from(cells * cells);
            let exact = area(&graph, face, &graph_loops(&graph, face)) / (side.x * side.y);
            prop_assert!((share - exact).abs() < 0.01, "{share} for {exact}");
        }
    }

    /// A moved and scaled part has the same features and targets, and
    /// the surface described by the features contains the targets' points.
    #[test]
    fn targets_lie_on_the_surfaces_of_the_features(number in 0_u64..500, scale in 0.01..50.0_f64) {
        let own = solid(number);
        let part = own.prepare(&SAMPLING, &mut stream(number)).unwrap();
        for (face, row) in part.faces.iter().enumerate() {
            let domain = part.domains[face].map(f64::from);
            let [low, high] = [DVec2::new(domain[0], domain[1]), DVec2::new(domain[2], domain[3])];
            for target in part.targets_of(face) {
                let unit = DVec2::new(f64::from(target[0]), f64::from(target[1]));
                let point = surface_of(row).point(Domain { low, high }.at(unit)).unwrap();
                let found = DVec3::new(target[2].into(), target[3].into(), target[4].into());
                prop_assert!(point.distance(found) < 1e-5, "{point} for {found}");
            }
        }
        let moved = moved(&own, scale, DVec3::new(5.0, -3.0, 40.0));
        let moved = moved.prepare(&SAMPLING, &mut stream(number)).unwrap();
        let close = |one: &[f32], other: &[f32]| {
            one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-5)
        };
        prop_assert!(close(part.faces.as_flattened(), moved.faces.as_flattened()));
        prop_assert!(close(part.edges.as_flattened(), moved.edges.as_flattened()));
        prop_assert!(close(part.targets.as_flattened(), moved.targets.as_flattened()));
        let coordinates = part.vertices.as_flattened().iter();
        prop_assert!(coordinates.fold(0.0_f32, |most, x| most.max(x.abs())) < 1.0 + 1e-6);
    }

    /// Fitting a fitted part changes nothing.
    #[test]
    fn fitting_twice_is_fitting_once(number in 0_u64..500) {
        let once = solid(number).graph.fitted().unwrap();
        let twice = once.fitted().unwrap();
        let off = |one: DVec3, other: DVec3| one.distance(other);
        for (one, other) in once.vertices.iter().zip(&twice.vertices) {
            prop_assert!(off(*one, *other) < 1e-9);
        }
        for (one, other) in once.faces.iter().zip(&twice.faces) {
            for at in [DVec2::ZERO, DVec2::ONE, DVec2::new(0.3, 0.8)] {
                let [one, other] = [one, other].map(|it| (it.domain.at(at), it.surface));
                prop_assert!(one.0.distance(other.0) < 1e-9);
                let [one, other] = [one, other].map(|(uv, surface)| surface.point(uv).unwrap());
                prop_assert!(off(one, other) < 1e-9);
            }
        }
        for (one, other) in once.edges.iter().zip(&twice.edges) {
            prop_assert!((one.range[0] - other.range[0]).abs() < 1e-9);
            prop_assert!(off(one.points(2).unwrap()[1], other.points(2).unwrap()[1]) < 1e-9);
        }
    }

    /// Every face has one class, and each part has stock faces.
    #[test]
    fn each_face_has_a_class(number in 0_u64..2000) {
        let Solid { graph, labels, trims } = solid(number);
        prop_assert_eq!([labels.len(), trims.len()], [graph.faces.len(); 2]);
        prop_assert!(labels.iter().all(|&label| (label as usize) < Feature::names().len()));
        prop_assert!(labels.contains(&(Feature::Stock as u32)));
    }

    /// The nearest point on the other side overestimates the distance to the boundary.
    #[test]
    fn nearest_opposite_points_are_no_nearer_than_the_boundary(number in 0_u64..100) {
        let Solid { trims, .. } = solid(number);
        let sampling = Sampling { candidates: 3000, ..SAMPLING };
        for trim in &trims {
            let points = sampling.candidates(&mut stream(number));
            let exact: Vec<f64> = points.iter().map(|&point| trim.distance(point)).collect();
            let inside: Vec<bool> = exact.iter().map(|&distance| distance < 0.0).collect();
            let found = nearest_opposite(&points, &inside);
            let mut excess = 0.0;
            for ((found, exact), inside) in found.iter().zip(&exact).zip(&inside) {
                prop_assert_eq!(*found < 0.0, *inside);
                prop_assert!(found.abs() > exact.abs() - 1e-9, "{found} for {exact}");
                excess += (found.abs() - exact.abs()) / points.len() as f64;
            }
            prop_assert!(excess < 0.02, "{excess}");
        }
    }

    /// A part is read back as written, and the same number gives the same part.
    #[test]
    fn files_keep_parts(number in 0_u64..200) {
        let folder = tempfile::tempdir().unwrap();
        let part = Parts { seed: 5 }.prepared(number, &SAMPLING).unwrap();
        let path = folder.path().join("part.safetensors");
        part.write(&path).unwrap();
        prop_assert_eq!(&Part::read(&path).unwrap(), &part);
        prop_assert_eq!(Parts { seed: 5 }.prepared(number, &SAMPLING).unwrap(), part);
    }
}

/// What a reader would refuse for its size is not written.
#[test]
fn parts_too_large_to_be_read_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part.part");
    let mut part = Parts { seed: 5 }.prepared(0, &SAMPLING).unwrap();
    // Zeros take no memory until they are written to.
    part.targets = vec![[0.0; 6]; 12 << 20];
    let error = part.write(&path).unwrap_err().to_string();
    assert!(error.contains("at most 256 MiB are read; keep fewer targets"), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_hole_through_a_block_is_one_handle_and_every_class_occurs() {
    let mut seen = [false; 8];
    let mut kinds = [0_usize; 5];
    let mut faces = 0;
    for number in 0..200 {
        let Solid { graph, labels, .. } = solid(number);
        labels.iter().for_each(|&label| seen[label as usize] = true);
        faces += labels.len();
        let through = labels.iter().filter(|&&label| label == Feature::ThroughHole as u32).count();
        let columns = graph.faces.iter().filter_map(|face| face.surface.column());
        columns.for_each(|column| kinds[column] += 1);
        let [v, e, f, l] =
            [graph.vertices.len(), graph.edges.len(), graph.faces.len(), graph.loops.len()];
        let handles = (2 + (e + l) as i64 - (v + 2 * f) as i64) / 2;
        assert!(handles as usize >= through, "part {number}: {handles} for {through} holes");
    }
    assert!(seen.into_iter().all(|seen| seen), "{seen:?}");
    assert!(kinds.into_iter().all(|count| count > 20), "{kinds:?}");
    assert!((2000..5000).contains(&faces), "{faces} faces");
}

/// On a cylinder, the signed distance depends on u unless the face goes all the way around.
#[test]
fn only_full_turns_do_not_depend_on_u() {
    let (mut full, mut part) = (0, 0);
    for number in 0..50 {
        let Solid { graph, trims, .. } = solid(number);
        for (face, trim) in graph.faces.iter().zip(&trims) {
            let Surface::Cylinder { .. } = face.surface else { continue };
            let along = |a: f64| trim.distance(DVec2::new(a, 0.4));
            if face.surface.is_closed_in_u(&face.domain) {
                assert_eq!([along(-0.1), along(0.5), along(1.1)], [-0.4; 3]);
                full += 1;
            } else {
                assert!(along(0.05) > along(0.5) && along(-0.1) > 0.0);
                part += 1;
            }
        }
    }
    assert!(full > 10 && part > 10, "{full} full, {part} not");
}

/// A turned part has turned features: they are not invariant to rotation.
#[test]
fn turning_a_part_turns_its_features() {
    for number in 0..50 {
        let own = solid(number);
        let [part, other] = [&own, &turned(&own)]
            .map(|solid| solid.prepare(&SAMPLING, &mut stream(number)).unwrap());
        for (row, found) in part.faces.iter().zip(&other.faces) {
            let mut wanted = *row;
            // Origin, normal, axis and reference direction.
            for vector in wanted[5..17].as_chunks_mut().0 {
                *vector = quarter_turn(Vec3::from_array(*vector).as_dvec3()).as_vec3().to_array();
            }
            let off = wanted.iter().zip(found).map(|(one, other)| (one - other).abs());
            assert!(off.fold(0.0, f32::max) < 1e-5, "{wanted:?} for {found:?}");
        }
        assert_ne!(part.faces, other.faces);
        let distances = |part: &Part| -> Vec<f32> { part.targets.iter().map(|it| it[5]).collect() };
        assert_eq!(distances(&part), distances(&other));
    }
}

/// The canonical form of a surface or curve describes the same points.
#[test]
fn canonical_places_do_not_move_points() {
    for number in 0..50 {
        for face in solid(number).graph.faces {
            let (canonical, shift) = face.surface.canonical();
            for at in [DVec2::ZERO, DVec2::ONE, DVec2::new(0.3, 0.8)] {
                let uv = face.domain.at(at);
                let [one, other] =
                    [face.surface.point(uv), canonical.point(uv + shift)].map(Option::unwrap);
                assert!(one.distance(other) < 1e-9, "{one} and {other}");
            }
            assert!(canonical.canonical().1.length() < 1e-9);
        }
        for edge in solid(number).graph.edges {
            let (canonical, shift) = edge.curve.canonical();
            for t in edge.range {
                let [one, other] =
                    [edge.curve.point(t), canonical.point(t + shift)].map(Option::unwrap);
                assert!(one.distance(other) < 1e-9, "{one} and {other}");
            }
        }
    }
}

/// An edge's points do not depend on the direction of its curve.
#[test]
fn an_edge_swapped_with_its_flag_has_the_same_points() {
    for edge in solid(1).graph.edges {
        let mut points = edge.points(23).unwrap();
        let flipped = bauta_brep::geometry::Edge { flipped: !edge.flipped, ..edge };
        points.reverse();
        let off = points.iter().zip(flipped.points(23).unwrap()).map(|(a, b)| a.distance(b));
        assert!(off.fold(0.0, f64::max) < 1e-9);
    }
}

#[test]
fn the_nearest_are_kept_and_the_rest_is_chosen() {
    let targets: Vec<Target> = (0..100)
        .map(|i| Target { unit: DVec2::splat(f64::from(i)), distance: f64::from(i) - 50.0 })
        .collect();
    let sampling = Sampling { candidates: 100, kept: 20, near: 0.5 };
    let kept = sampling.keep(targets.clone(), &mut stream(0));
    assert_eq!(kept.len(), 20);
    let mut near: Vec<f64> = kept[..10].iter().map(|target| target.distance.abs()).collect();
    near.sort_by(f64::total_cmp);
    assert_eq!(near, [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0]);
    let far = kept[10..].iter().filter(|target| target.distance.abs() > 10.0).count();
    assert!(far > 4, "{far}");
    assert!(Sampling { kept: 0, ..sampling }.check().is_err());
    assert!(Sampling { near: f64::NAN, ..sampling }.check().is_err());
}
