//! Whether training helped, in words.

use crate::summary::Summary;
use crate::table::baseline;

/// Metrics that tell a trained network from an untrained one, the most telling first.
const TELLING: [&str; 2] = ["linear_top1", "knn_top1"];

/// The smallest difference that counts: one point of accuracy.
const POINT: f64 = 0.01;

/// A sentence if the trained network is no better than the untrained one; `None` if it is better,
/// or if not both were measured.
pub fn verdict(summary: &Summary) -> Option<String> {
    let known = |metric: &&'static str| {
        let trained = *summary.eval.get(*metric)?;
        Some((*metric, trained, baseline(summary, "random_init", metric)?))
    };
    let (metric, trained, untrained) = TELLING.iter().find_map(known)?;
    if trained >= untrained + POINT {
        return None;
    }
    let steps = summary.train.steps;
    let compared = if trained < untrained { "worse than" } else { "no better than" };
    Some(format!(
        "The trained network is {compared} the same network untrained: {metric} {trained:.3} \
         against {untrained:.3}. A training of {steps} steps was too short or failed; train \
         longer, and see whether the loss falls below that of predicting the mean or, of a \
         contrastive loss, the uninformed one."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(metric: &str, trained: f64, untrained: f64) -> Summary {
        let json = serde_json::json!({
            "recipe": "r", "system": "mae", "seed": 0, "version": "1", "device": "cpu",
            "threads": 1, "precision": "fp32", "eval_seconds": 1.0,
            "train": {
                "steps": 200, "samples": 1, "seconds": 1.0, "samples_per_second": 1.0,
                "data_seconds": 0.0, "skipped_samples": 0, "first_loss": 1.0,
                "final_loss": 1.0, "parameters": 1
            },
            "eval": { metric: trained },
            "baseline": { format!("random_init.{metric}"): untrained, "raw_pixels.x": 0.9 },
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_training_that_was_of_no_use_is_said_to_be() {
        for (trained, untrained, said) in [
            (0.383, 0.403, Some("is worse than the same network untrained: linear_top1 0.383")),
            (0.405, 0.403, Some("is no better than the same network untrained")),
            (0.433, 0.403, None),
        ] {
            let found = verdict(&summary("linear_top1", trained, untrained));
            match said {
                Some(words) => {
                    let found = found.unwrap();
                    assert!(found.contains(words) && found.contains("200 steps"), "{found}");
                }
                None => assert_eq!(found, None),
            }
        }
        assert_eq!(verdict(&summary("mean_iou", 0.1, 0.2)), None);
    }
}
