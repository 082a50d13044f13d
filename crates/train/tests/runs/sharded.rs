//! Two ranks with a sharded optimiser give the bits of two without, also when interrupted.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bauta_backbones::{EncoderHead, EncoderWithHead, Parameters, VitConfig};
use bauta_data::Share;
use bauta_train::{
    End, Event, Optimizer, Phase, Ranks, Schedule, TrainConfig, TrainError, Trainer, Variables,
};
use tch::Tensor;

use super::arithmetic::optimizers;
use super::toy::{Autoencoder, assert_same, config, copy, last, loader_of, run};

/// How a rank ended, and its weights.
type Ended = (Result<End, TrainError>, Vec<f32>);

/// Trains the toy as two ranks, each on a thread. Rank 0 stops after `stop_at` steps, and the loss
/// of rank 1 diverges in step `poison`.
fn two(
    config: &TrainConfig,
    folder: &Path,
    resume: bool,
    [stop_at, poison]: [Option<u64>; 2],
) -> [Ended; 2] {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rank = |rank: usize| {
        let variables = Variables {
            rank,
            count: 2,
            host: "127.0.0.1".to_owned(),
            port,
            serves: rank == 0,
            attempt: "test".to_owned(),
            timeout: Duration::from_secs(60),
            threads: 0,
        };
        let ranks = Ranks::meet(&variables, "the same").unwrap();
        let (mut toy, stop) = (Autoencoder::new(1), AtomicBool::new(false));
        toy.poison = poison.filter(|_| rank == 1);
        let mut trainer = Trainer::open_among(folder, resume, &stop, &ranks).unwrap();
        let phase = Phase::new("main", config.clone());
        let feed =
            |steps| loader_of(config.batch_size, ranks.share()).batches(steps, |batch| batch);
        let end = trainer.fit(&phase, &mut toy, feed, |event| match event {
            Event::Step { step } if Some(step) == stop_at => stop.store(true, Ordering::Relaxed),
            _ => {}
        });
        let weights = [&toy.weight, &toy.bias].map(|weight| weight.detach().view([-1]));
        // Rank 0 serves the store, which the other rank can still need.
        let _ = ranks.any(false);
        (end, Vec::try_from(Tensor::cat(&weights, 0)).unwrap())
    };
    thread::scope(|scope| {
        let ranks = [0, 1].map(|number| scope.spawn(move || rank(number)));
        ranks.map(|rank| rank.join().unwrap())
    })
}

fn trained(config: &TrainConfig, folder: &Path, resume: bool, stop_at: Option<u64>) -> Vec<f32> {
    let [(end, weights), (other, others)] = two(config, folder, resume, [stop_at, None]);
    let wanted = |end: End| match stop_at {
        None => end == End::Finished,
        Some(_) => matches!(end, End::Stopped { .. }),
    };
    assert!(wanted(end.unwrap()) && wanted(other.unwrap()));
    assert_eq!(weights, others, "the ranks have the same weights");
    weights
}

fn divided(config: &TrainConfig) -> TrainConfig {
    TrainConfig { shard_optimizer: true, ..config.clone() }
}

#[test]
fn divided_state_gives_the_bits_of_whole_state_and_the_same_checkpoint() {
    for (name, optimizer) in optimizers() {
        let (whole, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // The toy's configuration clips the gradient and averages the weights.
        let config = TrainConfig { optimizer, ..config(20) };
        let weights = trained(&config, whole.path(), false, None);
        assert_eq!(trained(&divided(&config), shared.path(), false, None), weights, "{name}");
        assert_same(shared.path(), whole.path(), name);
    }
}

#[test]
fn a_step_that_diverges_is_skipped_by_all() {
    let config = |steps| TrainConfig {
        schedule: Schedule::constant(0.01, steps),
        ema: None,
        log_every: 0,
        checkpoint_every: 0,
        ..config(steps)
    };
    let folder = tempfile::tempdir().unwrap();
    let before = trained(&config(7), folder.path(), false, None);
    for config in [config(20), divided(&config(20))] {
        let folder = tempfile::tempdir().unwrap();
        for (end, weights) in two(&config, folder.path(), false, [None, Some(7)]) {
            assert!(matches!(end, Err(TrainError::NonFinite { step: 7, .. })), "{end:?}");
            assert_eq!(weights, before);
        }
    }
}

#[test]
fn what_some_ranks_began_others_end_with_the_same_bits() {
    let config = config(20);
    let [begun, whole] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    trained(&divided(&config), begun.path(), false, Some(7));
    trained(&config, whole.path(), false, None);
    let resumed = |how: &str, begun: &Path, end: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        copy(begun, &folder.path().join(how));
        end(&folder.path().join(how));
        folder
    };
    let by_two = |config: &TrainConfig, folder: &Path| drop(trained(config, folder, true, None));
    let alone = |config: &TrainConfig, folder: &Path| {
        run(&mut Autoencoder::new(1), config, folder, true, None).unwrap();
    };
    for config in [config.clone(), divided(&config)] {
        let two = resumed("two", begun.path(), &|folder| by_two(&config, folder));
        assert_same(&two.path().join("two"), whole.path(), "two ranks, stopped and resumed");
    }
    // One process computes other bits than two, so single-process resumptions are compared.
    let one = resumed("one", begun.path(), &|folder| alone(&config, folder));
    let other = resumed("one", begun.path(), &|folder| alone(&divided(&config), folder));
    assert_same(&one.path().join("one"), &other.path().join("one"), "one process with the key");
    let far = |folder: &Path| last(folder, "optimizer.safetensors");
    assert_ne!(far(&one.path().join("one")), far(begun.path()), "it went on");

    let begun = tempfile::tempdir().unwrap();
    run(&mut Autoencoder::new(1), &config, begun.path(), false, Some(7)).unwrap();
    let whole = resumed("two", begun.path(), &|folder| by_two(&config, folder));
    let shared = resumed("two", begun.path(), &|folder| by_two(&divided(&config), folder));
    assert_same(&shared.path().join("two"), &whole.path().join("two"), "begun alone");
}

#[test]
fn each_rank_keeps_a_share_and_refuses_a_state_that_lacks_anothers() {
    let mut parameters = Parameters::sketch();
    let vit = VitConfig::new(32, 4, 64, 3, 4);
    EncoderWithHead::vit(parameters.root(), &vit, EncoderHead::MeanClassifier(10)).unwrap();
    parameters.train_only(|_| true);
    let optimizer = optimizers()[0].1;
    let kept = |share| {
        let optimizer = Optimizer::of_share(&parameters, optimizer, share);
        let state = optimizer.state();
        let state = state.iter().filter(|(name, _)| name.starts_with("exp_avg"));
        state.map(|(_, tensor)| tensor.numel()).sum::<usize>()
    };
    let whole = kept(Share::WHOLE);
    let largest = parameters.trainable().map(|p| p.tensor.numel()).max().unwrap();
    for of in [2, 3] {
        let shares: Vec<usize> = (0..of).map(|rank| kept(Share { rank, of })).collect();
        assert_eq!(shares.iter().sum::<usize>(), whole);
        assert!(shares.iter().all(|&share| share <= whole / of + 2 * largest), "{shares:?}");
    }

    let toy = Autoencoder::new(1);
    let whole = Optimizer::new(&toy.parameters, optimizer);
    let mut saved: HashMap<String, Tensor> =
        whole.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
    let mut half = Optimizer::of_share(&toy.parameters, optimizer, Share { rank: 0, of: 2 });
    half.load_state(&saved).unwrap();
    saved.remove("exp_avg.layer.bias");
    let missing = half.load_state(&saved).unwrap_err();
    assert_eq!(missing.missing, ["exp_avg.layer.bias"]);
}
