//! Golden values of the reference's losses, and identities of mixed losses.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_masking::{Fill, Grid};
use bauta_siamese::{Distance, FillTensors, info_nce, soft_distance, unit};
use bauta_streams::{Purpose, StreamKey};
use tch::{Device, Kind, Tensor};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// sin(s · (j + 1)), row by row.
fn v(rows: i64, columns: i64, s: f64) -> Tensor {
    ((Tensor::arange(rows * columns, DOUBLE) + 1.0) * s).sin().view([rows, columns])
}

fn assert_value(what: &str, found: &Tensor, wanted: f64, most: f64) {
    let found = found.double_value(&[]);
    assert!((found - wanted).abs() < most, "{what}: {found} instead of {wanted}");
}

#[test]
fn golden_losses_of_the_sheet() {
    let [queries, mixed, keys] = [0.7, 1.3, 0.9].map(|s| unit(&v(4, 3, s)));
    let queue = v(3, 5, 0.5);
    let queue = unit(&queue.transpose(0, 1)).transpose(0, 1);
    let distance = |queries: &Tensor| info_nce(queries, &keys, &queue, 0.2);
    let clean = distance(&queries);
    let reversal = Tensor::from_slice(&[3_i64, 2, 1, 0]);
    let [own, partner] = soft_distance(distance, &mixed, &reversal);
    assert_value("CE(q)", &clean, 2.222349089, 1e-8);
    assert_value("CE of own", &own, 4.249951114, 1e-8);
    assert_value("CE of partners", &partner, 0.776729750, 1e-8);
    for (lambda, wanted) in [(0.5, 4.735689521), (29.0 / 64.0, 4.572882269)] {
        let loss = &clean + &own * lambda + &partner * (1.0 - lambda);
        assert_value("the loss", &loss, wanted, 1e-8);
    }
    // Partners by the permutation [2, 0, 3, 1].
    let fill = Fill::new(Grid::image(1, 1).unwrap(), vec![true], [1, 1], vec![2, 0, 3, 1]);
    assert_eq!(fill.partner_of(), [1, 3, 0, 2]);
    let [_, permuted] = soft_distance(distance, &mixed, &Tensor::from_slice(fill.partner_of()));
    assert_value("CE of permuted partners", &permuted, 3.368182889, 1e-8);
    // The same through the enum.
    let same = Distance::InfoNce { temperature: 0.2 }.of(&queries, &keys, Some(&queue));
    assert_value("CE(q)", &same, 2.222349089, 1e-8);
}

#[test]
fn cosine_distances_are_those_of_their_papers() {
    let rows = |values: &[f64]| Tensor::from_slice(values).view([2, 2]);
    let (queries, keys) = (rows(&[3.0, 4.0, 1.0, 0.0]), rows(&[6.0, 8.0, 0.0, 5.0]));
    assert_value("cosine", &Distance::Cosine.of(&queries, &keys, None), -0.5, 1e-12);
    assert_value("direction", &Distance::Direction.of(&queries, &keys, None), 1.0, 1e-12);
}

#[test]
fn a_query_of_zeros_has_a_finite_gradient() {
    let queries = Tensor::zeros([2, 3], DOUBLE).set_requires_grad(true);
    let keys = v(2, 3, 0.4);
    Distance::Cosine.of(&queries, &keys, None).backward();
    assert!(bool::try_from(queries.grad().isfinite().all()).unwrap());
}

fn normal(name: &str, shape: &[i64]) -> Tensor {
    let purpose = Purpose::named(name);
    let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample: 0 }.stream();
    bauta_libtorch::normal(shape, 1.0, &mut stream).to_kind(Kind::Double)
}

/// A small convolutional network without batch norm, in double precision.
struct Network {
    filters: Tensor,
    weight: Tensor,
}

impl Network {
    fn new() -> Self {
        let filters = normal("filters", &[6, 3, 3, 3]).set_requires_grad(true);
        let weight = normal("weight", &[5, 6]).set_requires_grad(true);
        Self { filters, weight }
    }

    fn queries(&self, images: &Tensor) -> Tensor {
        let map = images.conv2d(&self.filters, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1).tanh();
        let places = &[2_i64, 3][..];
        unit(&map.mean_dim(places, false, None).linear(&self.weight, None::<Tensor>))
    }

    /// The mixed loss of a batch and its gradients.
    fn loss(&self, images: &Tensor, fill: &Fill, distance: Distance) -> [Tensor; 3] {
        let (keys, queue) =
            (unit(&normal("keys", &[images.size()[0], 5])), unit(&normal("queue", &[7, 5])).tr());
        let fill = FillTensors::new(fill, Device::Cpu);
        let distance = |queries: &Tensor| distance.of(queries, &keys, Some(&queue));
        let mixed = self.queries(&fill.mix(images));
        let [own, partner] = soft_distance(distance, &mixed, &fill.partner_of);
        let loss = distance(&self.queries(images)) + own * fill.own + partner * (1.0 - fill.own);
        let both = [&self.filters, &self.weight];
        let mut gradients = Tensor::run_backward(&[&loss], &both, false, false);
        let last = gradients.pop().unwrap();
        [loss.detach(), gradients.pop().unwrap(), last]
    }
}

const DISTANCES: [Distance; 3] =
    [Distance::InfoNce { temperature: 0.2 }, Distance::Cosine, Distance::Direction];

fn fill(cells: [bool; 4], partners: Vec<i64>) -> Fill {
    Fill::new(Grid::image(2, 2).unwrap(), cells.to_vec(), [5, 6], partners)
}

#[test]
fn exchanging_own_and_masked_cells_changes_neither_loss_nor_gradients() {
    let (network, images) = (Network::new(), normal("images", &[4, 3, 5, 6]));
    for distance in DISTANCES {
        let fill = fill([true, false, false, false], vec![3, 2, 1, 0]);
        assert!((0.1..0.9).contains(&fill.own()) && fill.own() != 0.5);
        let one = network.loss(&images, &fill, distance);
        let other = network.loss(&images, &fill.complement(), distance);
        for (one, other) in one.iter().zip(&other) {
            let off = (one - other).abs().max().double_value(&[]);
            assert!(off < 1e-10, "{distance:?} is off by {off:.1e}");
        }
    }
}

#[test]
fn all_or_nothing_of_the_own_image_is_twice_the_plain_loss() {
    let (network, images) = (Network::new(), normal("images", &[4, 3, 5, 6]));
    for distance in DISTANCES {
        let losses = [false, true].map(|masked| {
            let [loss, ..] = network.loss(&images, &fill([masked; 4], vec![3, 2, 1, 0]), distance);
            loss.double_value(&[])
        });
        let (keys, queue) = (unit(&normal("keys", &[4, 5])), unit(&normal("queue", &[7, 5])).tr());
        let plain = distance.of(&network.queries(&images), &keys, Some(&queue)).double_value(&[]);
        for loss in losses {
            assert!((loss - 2.0 * plain).abs() < 1e-10, "{distance:?}: {loss}, {plain}");
        }
    }
}

#[test]
fn losses_do_not_depend_on_the_order_of_a_batch() {
    let (network, images) = (Network::new(), normal("images", &[4, 3, 5, 6]));
    let keys = unit(&normal("keys", &[4, 5]));
    let order = Tensor::from_slice(&[2_i64, 0, 3, 1]);
    let queries = network.queries(&images);
    for distance in DISTANCES {
        let queue = unit(&normal("queue", &[7, 5])).tr();
        let of = |queries: &Tensor, keys: &Tensor| {
            distance.of(queries, keys, Some(&queue)).double_value(&[])
        };
        let shuffled = of(&queries.index_select(0, &order), &keys.index_select(0, &order));
        assert!((of(&queries, &keys) - shuffled).abs() < 1e-12);
    }
}

#[test]
fn a_mixed_image_takes_each_pixel_from_one_source_and_keeps_the_moments() {
    let images = normal("images", &[64, 3, 8, 8]);
    let cells = [true, false, false, true];
    let partners: Vec<i64> = (0..64).rev().collect();
    let plan = Fill::new(Grid::image(2, 2).unwrap(), cells.to_vec(), [8, 8], partners);
    let tensors = FillTensors::new(&plan, Device::Cpu);
    let mixed = tensors.mix(&images);
    for (place, &masked) in plan.pixels().iter().enumerate() {
        let (y, x) = (place as i64 / 8, place as i64 % 8);
        let pixel = |images: &Tensor| images.select(2, y).select(2, x);
        let source = if masked { images.flip([0]) } else { images.shallow_clone() };
        assert_eq!(pixel(&mixed), pixel(&source));
    }
    // Filling keeps the variance, erasing loses the masked part of it.
    let variance = |images: &Tensor| images.var(false).double_value(&[]);
    let (whole, erased) = (variance(&images), variance(&tensors.erase(&images, 0.0)));
    assert!((variance(&mixed) / whole - 1.0).abs() < 0.05);
    assert!((erased / whole - plan.own()).abs() < 0.05);
    let noise = normal("noise", &[64, 3, 8, 8]);
    assert_eq!(tensors.fill(&images, &images.flip([0])), mixed);
    assert_ne!(tensors.fill(&images, &noise), mixed);
}
