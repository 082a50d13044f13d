//! Protocols on clips: a motion feature distinguishes directions, views are averaged, and
//! each label set has its own metrics.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_data::video::{ClipSampling, ClipSource, MovingMnist, MovingMnistOptions, Views, Walls};
use bauta_data::{InMemory, LoaderConfig, Split, Statistics};
use bauta_eval::{
    ClipProtocols, EncodeError, EncodedData, EvalError, Evaluator, KnnEvaluator, Metrics,
};
use tch::{Device, Kind, Tensor};

const SIDE: usize = 12;

fn videos(split: Split) -> Arc<dyn ClipSource> {
    let digits = InMemory::new(
        "bright squares",
        [3, 3, 1],
        vec![255; 2 * 9],
        vec![0, 1],
        vec!["0".to_owned(), "1".to_owned()],
        Statistics::MNIST,
    );
    let options = MovingMnistOptions {
        videos: 160,
        test_videos: 80,
        digits: 1,
        size: SIDE,
        digit_size: 3,
        frames: 8,
        speeds: vec![1.0],
        walls: Walls::Wrap,
        seed: 0,
    };
    Arc::new(MovingMnist::new(Arc::new(digits.unwrap()), split, &options).unwrap())
}

fn protocols(views: Views, watch: &AtomicBool) -> ClipProtocols<'_> {
    ClipProtocols {
        evaluators: vec![Box::new(KnnEvaluator::new(5, 0.07).unwrap())],
        sources: [videos(Split::Train), videos(Split::Test)],
        label: None,
        sampling: ClipSampling { frames: 4, stride: 1, ..ClipSampling::default() },
        views,
        loader: LoaderConfig::new(32, SIDE, SIDE),
        device: Device::Cpu,
        watch,
    }
}

/// Correlations of the first frame, moved by up to three pixels each way, with the last:
/// [N, 49]. At one pixel per frame the last is three pixels on.
fn motion(clips: &Tensor) -> Result<Tensor, EncodeError> {
    let frames = clips.to_kind(Kind::Float).select(1, 0) / 255.0;
    let (first, last) = (frames.select(1, 0), frames.select(1, 3));
    let moves = (-3..4).flat_map(|down| (-3..4).map(move |right| [down, right]));
    let correlations = moves.map(|by| {
        let moved = first.roll(by, [1, 2]);
        (moved * &last).mean_dim([1_i64, 2].as_slice(), false, None)
    });
    Ok(Tensor::stack(&correlations.collect::<Vec<_>>(), 1))
}

#[test]
fn a_feature_of_motion_tells_directions_and_not_digits() {
    let go_on = AtomicBool::new(false);
    let protocols = protocols(Views::ONE, &go_on);
    protocols.check().unwrap();
    let found = protocols.measure("motion", &motion).unwrap();
    let direction = found.get("direction_knn_top1").unwrap();
    assert!(direction > 0.8, "{direction}");
    // Both digits are the same square, and there is only one speed.
    let digit = found.get("digit_knn_top1").unwrap();
    assert!(digit < 0.8, "{digit}");
    assert_eq!(found.get("speed_knn_top1"), None);
    let pixels = protocols.measure_raw_pixels().unwrap();
    assert!(pixels.get("direction_knn_top1").unwrap() < direction);
}

/// Each view of these videos shows the direction, and so does their mean.
#[test]
fn features_are_averaged_over_views() {
    let go_on = AtomicBool::new(false);
    let views = Views { clips: 3, crops: 1 };
    let several = protocols(views, &go_on).measure("motion", &motion).unwrap();
    let direction = several.get("direction_knn_top1").unwrap();
    assert!(direction > 0.8, "{direction}");
    // Views that cancel out in the mean leave no information.
    let cancelling = |clips: &Tensor| -> Result<Tensor, EncodeError> {
        let videos = clips.size()[0] / 3;
        let signs = Tensor::from_slice(&[1.0_f32, -1.0, 0.0]).repeat([videos]).unsqueeze(1);
        Ok(signs * motion(&clips.index_select(0, &first_views(videos)))?)
    };
    let nothing = protocols(views, &go_on).measure("cancelling", &cancelling).unwrap();
    assert!(nothing.get("direction_knn_top1").unwrap() < 0.5);
}

/// For each clip, the index of the first of its video's three views.
fn first_views(videos: i64) -> Tensor {
    Tensor::arange(videos, (Kind::Int64, Device::Cpu)).repeat_interleave_self_int(3, 0, None) * 3
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let go_on = AtomicBool::new(false);
    let wrong = |clips: &Tensor| -> Result<Tensor, EncodeError> {
        Ok(Tensor::zeros([clips.size()[0] + 1, 3], (Kind::Float, Device::Cpu)))
    };
    let refused = protocols(Views::ONE, &go_on).measure("wrong", &wrong).unwrap_err();
    assert!(refused.to_string().contains("encoded clips"), "{refused}");
    let stopped = AtomicBool::new(true);
    let refused = protocols(Views::ONE, &stopped).measure("motion", &motion).unwrap_err();
    assert!(
        matches!(refused, EvalError::At { source, .. } if matches!(*source, EvalError::Stopped))
    );
}

/// Set by a user while [`Interrupted`] runs.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// A protocol that is interrupted while it runs.
struct Interrupted;

impl Evaluator for Interrupted {
    fn name(&self) -> &str {
        "interrupted"
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn evaluate_until(
        &self,
        _features: &EncodedData,
        _seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        INTERRUPT.store(true, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) { Err(EvalError::Stopped) } else { Ok(Metrics::new()) }
    }
}

#[test]
fn a_protocol_is_told_to_stop_while_it_runs() {
    let mut protocols = protocols(Views::ONE, &INTERRUPT);
    protocols.evaluators = vec![Box::new(Interrupted)];
    let ended = protocols.measure("motion", &motion).unwrap_err();
    assert!(matches!(ended, EvalError::Stopped), "{ended}");
}
