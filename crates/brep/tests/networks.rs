//! The networks' invariants, on generated parts.

#![cfg(feature = "model")]
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_backbones::Parameters;
use bauta_brep::Part;
use bauta_brep::generate::Parts;
use bauta_brep::geometry::{Sampling, Use};
use bauta_brep::model::*;
use proptest::prelude::*;
use tch::{Device, IndexOp, Kind, Tensor};

const SAMPLING: Sampling = Sampling { candidates: 60, kept: 20, near: 0.4 };

fn part(number: u64) -> Part {
    Parts { seed: 1 }.prepared(number, &SAMPLING).unwrap()
}

fn encoder(kind: EncoderKind) -> (Parameters, FaceEncoder) {
    let mut parameters = Parameters::new(7, Device::Cpu);
    let config = EncoderConfig { kind, dim: 16, edge_heads: 2, face_heads: 4 };
    let encoder = FaceEncoder::new(parameters.root(), &config);
    (parameters, encoder)
}

fn off(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.size(), other.size());
    (one - other).abs().max().double_value(&[])
}

const KINDS: [EncoderKind; 2] = [EncoderKind::Attention, EncoderKind::Loops];

/// Moves row `i` to `order[i]`.
fn permuted<T: Clone>(rows: &[T], order: &[u32]) -> Vec<T> {
    let mut places: Vec<(u32, &T)> = order.iter().copied().zip(rows).collect();
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, row)| row.clone()).collect()
}

fn arbitrary_order(count: usize) -> impl Strategy<Value = Vec<u32>> {
    Just((0..count as u32).collect::<Vec<_>>()).prop_shuffle()
}

/// A part, the same with its rows in another order, and the new position of each face.
fn arbitrary_renaming(part: Part) -> impl Strategy<Value = (Part, Part, Vec<u32>)> {
    let orders = (
        arbitrary_order(part.faces.len()),
        arbitrary_order(part.edges.len()),
        arbitrary_order(part.vertices.len()),
        arbitrary_order(part.edge_loop.len()),
    );
    (Just(part), orders).prop_map(|(part, (faces, edges, vertices, rows))| {
        let uses = |list: &[Use], from: &[u32], to: Option<&[u32]>| -> Vec<Use> {
            let to = |it: u32| to.map_or(it, |to| to[it as usize]);
            list.iter()
                .map(|it| Use { from: from[it.from as usize], to: to(it.to), flag: it.flag })
                .collect()
        };
        let mut other = part.clone();
        other.faces = permuted(&part.faces, &faces);
        other.edges = permuted(&part.edges, &edges);
        other.vertices = permuted(&part.vertices, &vertices);
        other.vertex_edge = uses(&part.vertex_edge, &vertices, Some(&edges));
        other.vertex_edge.reverse();
        other.edge_loop = permuted(&uses(&part.edge_loop, &edges, None), &rows);
        other.loop_face = part.loop_face.iter().map(|&face| faces[face as usize]).collect();
        (part, other, faces)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Codes are equivariant to permutations of the faces, and invariant to those of everything else.
    #[test]
    fn codes_follow_their_faces(
        (part, other, faces) in (0_u64..300).prop_flat_map(|number| arbitrary_renaming(part(number))),
    ) {
        for kind in KINDS {
            let (_parameters, encoder) = encoder(kind);
            let codes = encoder.forward(&GraphBatch::of(&[&part]));
            let renamed = encoder.forward(&GraphBatch::of(&[&other]));
            let order: Vec<i64> = faces.iter().map(|&face| i64::from(face)).collect();
            let found = renamed.index_select(0, &Tensor::from_slice(&order));
            prop_assert!(off(&codes, &found) < 1e-5);
        }
    }

    #[test]
    fn a_union_of_parts_has_the_codes_of_each(numbers in prop::collection::vec(0_u64..300, 2..6)) {
        let parts: Vec<Part> = numbers.into_iter().map(part).collect();
        let all: Vec<&Part> = parts.iter().collect();
        for kind in KINDS {
            let (_parameters, encoder) = encoder(kind);
            let each: Vec<Tensor> =
                all.iter().map(|&part| encoder.forward(&GraphBatch::of(&[part]))).collect();
            let joint = encoder.forward(&GraphBatch::of(&all));
            prop_assert!(off(&joint, &Tensor::cat(&each, 0)) < 1e-5);
        }
    }

    /// Attention weights of one destination sum to 1.
    #[test]
    fn weights_of_one_destination_sum_to_one(number in 0_u64..300) {
        let mut parameters = Parameters::new(3, Device::Cpu);
        let layer = BipartiteAttention::new(parameters.root(), [18, 21], 8, 3);
        let batch = GraphBatch::of(&[&part(number)]);
        let weights = layer.weights(&batch.edges, &batch.faces, &batch.edge_face);
        let sums = segment_sum(&weights, &batch.edge_face.to, batch.faces.size()[0]);
        prop_assert!(off(&sums, &sums.ones_like()) < 1e-5);
        prop_assert!(weights.min().double_value(&[]) >= 0.0);
    }
}

/// A full torus has no edges; its code depends only on its own row.
#[test]
fn a_face_without_edges_gets_what_is_its_own() {
    let mut lone = part(0);
    lone.edges.clear();
    lone.vertices.clear();
    lone.loops.clear();
    lone.vertex_edge.clear();
    lone.edge_loop.clear();
    lone.loop_face.clear();
    lone.face_face.clear();
    lone.check().unwrap();
    let batch = GraphBatch::of(&[&lone]);
    for kind in KINDS {
        let (parameters, encoder) = encoder(kind);
        let codes = encoder.forward(&batch);
        assert!(codes.isfinite().all().int64_value(&[]) == 1);
        if kind == EncoderKind::Attention {
            let [weight, bias] = ["weight", "bias"]
                .map(|name| &parameters.get(&format!("e_to_f.lin_self.{name}")).unwrap().tensor);
            assert!(off(&codes, &batch.faces.linear(weight, Some(bias))) < 1e-5);
        }
        let mut parameters = Parameters::new(3, Device::Cpu);
        let head = FaceClassifier::new(parameters.root(), 16, 2, 8);
        assert!(head.forward(&codes, &batch).isfinite().all().int64_value(&[]) == 1);
    }
}

#[test]
fn extremes_and_softmax_are_those_of_each_segment() {
    let x = Tensor::from_slice(&[1.0_f32, -2.0, 5.0, 0.5, 3.0, -1.0]).view([3, 2]);
    let to = Tensor::from_slice(&[2_i64, 0, 2]);
    let rows = |x: &Tensor| Vec::<f32>::try_from(x.flatten(0, -1)).unwrap();
    assert_eq!(rows(&segment_max(&x, &to, 3)), [5.0, 0.5, 0.0, 0.0, 3.0, -1.0]);
    assert_eq!(rows(&segment_min(&x, &to, 3)), [5.0, 0.5, 0.0, 0.0, 1.0, -2.0]);
    assert_eq!(rows(&segment_sum(&x, &to, 3)), [5.0, 0.5, 0.0, 0.0, 4.0, -3.0]);
    let softmax = segment_softmax(&(x * 1000.0), &to, 3);
    assert_eq!(rows(&softmax), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn max_relative_convolution_by_hand() {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let layer = MaxRelative::new(parameters.root(), 1);
    let weight = &parameters.get("linear.weight").unwrap().tensor;
    let bias = &parameters.get("linear.bias").unwrap().tensor;
    tch::no_grad(|| {
        weight.shallow_clone().copy_(&Tensor::from_slice(&[1.0_f32, 10.0]).view([1, 2]));
        bias.shallow_clone().copy_(&Tensor::from_slice(&[0.5_f32]));
    });
    let x = Tensor::from_slice(&[1.0_f32, 4.0, 2.0]).view([3, 1]);
    let (sent, received) = (Tensor::from_slice(&[1_i64, 2]), Tensor::from_slice(&[0_i64, 0]));
    let found = Vec::<f32>::try_from(layer.forward(&x, &x, &sent, &received).view(-1)).unwrap();
    // The larger of 1 - 4 and 1 - 2 is -1: LeakyReLU(1 - 10 + 0.5) = -0.085.
    for (found, wanted) in found.into_iter().zip([1.0 - 0.085, 4.0 + 4.5, 2.0 + 2.5]) {
        assert!((found - wanted).abs() < 1e-5, "{found} for {wanted}");
    }
}

/// The decoder equals a plain perceptron with the weights of its weight normalisation.
#[test]
fn a_decoder_is_a_plain_perceptron_on_the_normalised_weights() {
    let mut parameters = Parameters::new(2, Device::Cpu);
    let config = DecoderConfig { dim: 8, depth: 4 };
    let decoder = SurfaceDecoder::new(parameters.root(), &config, 5);
    let get =
        |i: i64, name: &str| parameters.get(&format!("layers.{i}.{name}")).unwrap().tensor.detach();
    let codes =
        Tensor::from_slice(&(0..15).map(|i| (i as f32).sin()).collect::<Vec<_>>()).view([3, 5]);
    let points = Tensor::from_slice(&(0..24).map(|i| (i as f32 * 0.7).cos()).collect::<Vec<_>>());
    let points = points.view([3, 4, 2]);
    // Lengths other than the initial ones.
    tch::no_grad(|| {
        for i in 0..4 {
            let _ = get(i, "weight_g").g_mul_scalar_(1.5);
        }
    });
    let z = Tensor::cat(&[&points, &codes.unsqueeze(1).expand([3, 4, 5], false)], 2);
    let mut hidden = z.shallow_clone();
    for i in 0..4 {
        let (v, g) = (get(i, "weight_v"), get(i, "weight_g"));
        let norm = v.norm_scalaropt_dim(2.0, [1].as_slice(), true);
        let input = if i == 0 { z.shallow_clone() } else { Tensor::cat(&[&hidden, &z], 2) };
        hidden = input.linear(&(g * v / norm), Some(&get(i, "bias")));
        if i < 3 {
            hidden = hidden.relu();
        }
    }
    assert!(off(&decoder.forward(&codes, &points), &hidden) < 1e-5);
    let _ = tch::no_grad(|| get(3, "weight_g").zero_());
    let bias = get(3, "bias").view([1, 1, 4]).expand([3, 4, 4], false);
    assert!(off(&decoder.forward(&codes, &points), &bias) < 1e-7);
}

#[test]
fn parameters_are_as_many_as_the_papers() {
    let mut parameters = Parameters::sketch();
    FaceEncoder::new(parameters.root(), &EncoderConfig::default());
    assert_eq!(parameters.count(), 73_152);
    let mut parameters = Parameters::sketch();
    SurfaceDecoder::new(parameters.root(), &DecoderConfig { dim: 1024, depth: 4 }, 64);
    assert!((2_300_000..2_330_000).contains(&parameters.count()), "{}", parameters.count());
}

#[test]
fn gradients_reach_every_parameter() {
    for kind in KINDS {
        let (mut parameters, encoder) = encoder(kind);
        let decoder = SurfaceDecoder::new(
            parameters.root().sub("decoder"),
            &DecoderConfig { dim: 8, depth: 3 },
            16,
        );
        let head = FaceClassifier::new(parameters.root().sub("head"), 16, 2, 8);
        let whole = PartClassifier::new(parameters.root().sub("whole"), 16, 3);
        let parts = [part(4), part(5)];
        let batch = GraphBatch::of(&parts.each_ref());
        let codes = encoder.forward(&batch);
        let rows: Vec<_> = parts.iter().flat_map(|part| part.targets.clone()).collect();
        let (points, target) = field_targets(&rows, batch.faces.size()[0] as usize);
        let FieldLoss { surface, trim } = FieldLoss::of(&decoder.forward(&codes, &points), &target);
        let faces = cross_entropy(&head.forward(&codes, &batch), &batch.labels);
        let classes = Tensor::from_slice(&[0_i64, 2]);
        let loss = surface + trim + faces + cross_entropy(&whole.forward(&codes, &batch), &classes);
        loss.backward();
        for parameter in &parameters {
            let gradient = parameter.tensor.grad();
            assert!(gradient.defined(), "{}", parameter.name);
            assert!(gradient.abs().sum(Kind::Double).double_value(&[]) > 0.0, "{}", parameter.name);
        }
    }
}

#[test]
fn errors_are_means_of_each_face() {
    let target = Tensor::zeros([2, 2, 4], (Kind::Float, Device::Cpu));
    let values =
        [3.0_f32, 4.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 2.0];
    let prediction = Tensor::from_slice(&values).view([2, 2, 4]);
    let errors = FieldErrors::of(&prediction, &target);
    assert_eq!(errors.xyz, [2.5, 0.5]);
    assert_eq!(errors.distance, [0.75, 1.5]);
    assert_eq!(errors.sign, [0.5, 1.0]);
    let logits = prediction.i((.., 0, ..));
    assert_eq!(predicted(&logits), [1, 2]);
    assert_eq!(accuracy(&logits, &Tensor::from_slice(&[1_i64, 0])), 0.5);
}
