//! The weights of ELo's losses that a recipe gives.

use serde::{Deserialize, Serialize};

/// The weight of each task, where it is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskWeights {
    /// Weight of each task of the chosen modalities that is not named: with 0, only the named ones
    /// are trained. If not given, they are searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<f64>,
    /// Decode what was seen or heard.
    pub reconstruct: OfModalities,
    /// Decode the frames that follow.
    pub future: OfFrames,
    /// Tell whether frames are out of order.
    pub shuffle: OfFrames,
    /// Tell whether frames run backwards.
    pub reverse: OfFrames,
    /// Decode one modality from another.
    pub transfer: OfTransfers,
    /// Tell whether two modalities belong to one clip.
    pub align: OfPairs,
    /// Bring two modalities of one clip together.
    pub embed: OfPairs,
    /// Predict features of another modality's network.
    pub distill: OfSites,
}

/// A weight for each modality.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfModalities {
    /// Weight of the task on RGB frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rgb: Option<f64>,
    /// Weight of the task on grey frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grey: Option<f64>,
    /// Weight of the task on optical flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<f64>,
    /// Weight of the task on sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<f64>,
}

/// A weight for each modality with frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfFrames {
    /// Weight of the task on RGB frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rgb: Option<f64>,
    /// Weight of the task on grey frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grey: Option<f64>,
    /// Weight of the task on optical flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<f64>,
}

/// A weight for each direction of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfTransfers {
    /// From RGB to grey frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rgb_to_grey: Option<f64>,
    /// From grey to RGB frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grey_to_rgb: Option<f64>,
    /// From RGB frames to optical flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rgb_to_flow: Option<f64>,
    /// From optical flow to RGB frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_to_rgb: Option<f64>,
}

/// A weight for each pair of modalities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfPairs {
    /// RGB frames and sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rgb_sound: Option<f64>,
    /// RGB and grey frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rgb_grey: Option<f64>,
    /// RGB frames and optical flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rgb_flow: Option<f64>,
}

/// A weight for each distillation site: a feature of another network that the RGB network predicts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfSites {
    /// What goes into the last stage of the grey network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grey_before_last: Option<f64>,
    /// The embedding of the grey network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grey_embedding: Option<f64>,
    /// What goes into the last stage of the flow network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_before_last: Option<f64>,
    /// The embedding of the flow network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_embedding: Option<f64>,
    /// What goes into the last layer of the sound network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound_before_last: Option<f64>,
    /// The embedding of the sound network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound_embedding: Option<f64>,
}

/// The tasks of one kind by what they are of, with their weights where they are given.
type Weights<'a> = Vec<(&'a str, Option<f64>)>;

impl TaskWeights {
    /// Every task by name, with its weight where it is given: under its name, or as one of
    /// [`Self::others`].
    pub fn given(&self) -> Vec<(String, Option<f64>)> {
        let named = self.named().into_iter();
        named.map(|(name, weight)| (name, weight.or(self.others))).collect()
    }

    /// Every task by name, with the weight that is given under it.
    pub(super) fn named(&self) -> Vec<(String, Option<f64>)> {
        let Self { reconstruct, future, shuffle, reverse, transfer, align, embed, distill, .. } =
            self;
        let tables: [(&str, Weights<'_>); 8] = [
            (
                "reconstruct",
                vec![
                    ("rgb", reconstruct.rgb),
                    ("grey", reconstruct.grey),
                    ("flow", reconstruct.flow),
                    ("sound", reconstruct.sound),
                ],
            ),
            ("future", future.given()),
            ("shuffle", shuffle.given()),
            ("reverse", reverse.given()),
            (
                "transfer",
                vec![
                    ("rgb_to_grey", transfer.rgb_to_grey),
                    ("grey_to_rgb", transfer.grey_to_rgb),
                    ("rgb_to_flow", transfer.rgb_to_flow),
                    ("flow_to_rgb", transfer.flow_to_rgb),
                ],
            ),
            ("align", align.given()),
            ("embed", embed.given()),
            (
                "distill",
                vec![
                    ("grey_before_last", distill.grey_before_last),
                    ("grey_embedding", distill.grey_embedding),
                    ("flow_before_last", distill.flow_before_last),
                    ("flow_embedding", distill.flow_embedding),
                    ("sound_before_last", distill.sound_before_last),
                    ("sound_embedding", distill.sound_embedding),
                ],
            ),
        ];
        let named = |(task, weights): (&str, Vec<(&str, Option<f64>)>)| {
            let name = |(of, weight)| (format!("{task}.{of}"), weight);
            weights.into_iter().map(name).collect::<Vec<_>>()
        };
        tables.into_iter().flat_map(named).collect()
    }
}

impl OfFrames {
    fn given(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![("rgb", self.rgb), ("grey", self.grey), ("flow", self.flow)]
    }
}

impl OfPairs {
    fn given(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("rgb_sound", self.rgb_sound),
            ("rgb_grey", self.rgb_grey),
            ("rgb_flow", self.rgb_flow),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_one_name() {
        let mut names: Vec<String> =
            TaskWeights::default().given().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 29);
        assert!(names.contains(&"shuffle.rgb".to_owned()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 29);
    }

    #[test]
    fn a_weight_of_the_others_is_that_of_every_task_that_is_not_named() {
        let shuffle = OfFrames { rgb: Some(1.0), ..OfFrames::default() };
        let alone = TaskWeights { others: Some(0.0), shuffle, ..TaskWeights::default() };
        for (name, weight) in alone.given() {
            assert_eq!(weight, Some(f64::from(u8::from(name == "shuffle.rgb"))), "{name}");
        }
        assert_eq!(alone.named().iter().filter(|(_, weight)| weight.is_some()).count(), 1);
    }
}
