//! The systems: one file and one line of the table below for each.

mod brep;
mod dbot;
mod elo;
mod exssnet;
mod i_mae;
mod m3ae;
mod mae;
mod mae_st;
mod mask_distill;
mod mix_mask;
mod multilabel;

use std::sync::LazyLock;

use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::data_need::DataNeed;
use crate::reading::document::Node;
use crate::reading::{KeyDescription, SettingsError, Violation, describe, keys_of, read};
use crate::system_settings::{RecipeSettings, SystemSettings};
use crate::tables::{Teacher, Train};

pub use brep::{
    Brep, Channels as FieldChannels, FaceEncoder, FaceEval, FaceModel, Field, FieldDecoder,
    PartData, PartSource, SplitBy,
};
pub use dbot::DBot;
pub use elo::{
    ClipModality, ClipNetwork, ClipNetworks, Elo, EloEval, LEAST_WEIGHT, OfFrames, OfModalities,
    OfPairs, OfSites, OfTransfers, SearchTable, SoundingClipSource, SoundingData, TaskWeights,
    WeightSearch,
};
pub use exssnet::{
    Continual, ContinualMethod, ExSsNet, Network, Supermask, TaskEval, TaskNetwork, TaskOrigin,
    TaskTexts, Tasks, Transfer, WeightStart,
};
pub use i_mae::IMae;
pub use m3ae::{M3ae, PairData, PairEval, PairMask, PairTarget, PairVit};
pub use mae::Mae;
pub use mae_st::MaeSt;
pub use mask_distill::MaskDistill;
pub use mix_mask::{
    FillTable, Filling, MixMask, ResidualBlocks, ResidualNetwork, ResidualStem, SiameseBase,
    SiameseTable,
};
pub use multilabel::{LabelEval, Multilabel};

macro_rules! systems {
    ($($(#[$doc:meta])* $name:literal => $System:ident,)*) => {
        /// The systems by the names that recipes use, in the order of the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(Display, EnumString, IntoStaticStr, VariantArray)]
        pub enum System {
            $($(#[$doc])* #[strum(serialize = $name)] $System,)*
        }

        /// The settings of one of the systems.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Settings {
            $($(#[$doc])* $System($System),)*
        }

        $(impl From<$System> for Settings {
            fn from(settings: $System) -> Self {
                Self::$System(settings)
            }
        })*

        /// The keys of each system's settings, in the order of [`System::VARIANTS`].
        static KEYS: LazyLock<Vec<Vec<String>>> =
            LazyLock::new(|| vec![$(keys_of::<$System>(""),)*]);

        impl System {
            /// Describes the keys of its own settings.
            pub(crate) fn describe_own_keys(self) -> Vec<KeyDescription> {
                match self {
                    $(Self::$System => describe::<$System>(),)*
                }
            }
        }

        impl Settings {
            /// The system that the settings belong to.
            pub fn system(&self) -> System {
                match self {
                    $(Self::$System(_) => System::$System,)*
                }
            }
        }

        impl RecipeSettings for Settings {
            fn system_name(&self) -> &'static str {
                self.system().into()
            }

            fn checkpoints_blocks(&self) -> bool {
                match self {
                    $(Self::$System(_) => $System::CHECKPOINTS_BLOCKS,)*
                }
            }

            fn needs(&self) -> Vec<DataNeed> {
                match self {
                    $(Self::$System(settings) => settings.data(),)*
                }
            }

            fn taught_by(&self) -> Option<&Teacher> {
                match self {
                    $(Self::$System(settings) => settings.teacher(),)*
                }
            }

            fn complete_all(&mut self) {
                match self {
                    $(Self::$System(settings) => settings.complete(),)*
                }
            }

            fn check_all(&self, train: &Train) -> Result<(), Violation> {
                match self {
                    $(Self::$System(settings) => settings.check(train),)*
                }
            }

            fn keys_for(system: &str) -> Result<Vec<String>, Vec<&'static str>> {
                match system.parse::<System>() {
                    Ok(system) => Ok(system.keys().to_vec()),
                    Err(_) => Err(System::VARIANTS.iter().map(Into::into).collect()),
                }
            }

            fn read(
                system: &str,
                document: &Node,
                known_keys: &[String],
            ) -> Result<Self, SettingsError> {
                match system.parse().expect("`keys_for` took the name") {
                    $(System::$System => read(document, known_keys).map(Self::$System),)*
                }
            }
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn each_name_is_that_of_the_settings() {
                $(assert_eq!(<&str>::from(System::$System), $System::NAME);)*
            }
        }
    };
}

systems! {
    /// Masked Autoencoders Are Scalable Vision Learners (arXiv 2111.06377).
    "mae" => Mae,
    /// Exploring Target Representations for Masked Autoencoders (arXiv 2209.03917).
    "dbot" => DBot,
    /// A Unified View of Masked Image Modeling (arXiv 2210.10615).
    "maskdistill" => MaskDistill,
    /// i-MAE: Are Latent Representations in Masked Autoencoders Linearly Separable?
    /// (arXiv 2210.11470).
    "i-mae" => IMae,
    /// Masked Autoencoders As Spatiotemporal Learners (arXiv 2205.09113).
    "mae-st" => MaeSt,
    /// Exclusive Supermask Subnetwork Training for Continual Learning (arXiv 2210.10209).
    "exssnet" => ExSsNet,
    /// Learning to Learn and Predict: A Meta-Learning Approach for Multi-Label Classification
    /// (arXiv 1909.04176).
    "multilabel" => Multilabel,
    /// Self-Supervised Representation Learning for CAD (arXiv 2210.10807).
    "brep" => Brep,
    /// MixMask: Revisiting Masking Strategy for Siamese ConvNets (arXiv 2210.11456).
    "mixmask" => MixMask,
    /// Multimodal Masked Autoencoders Learn Transferable Representations (arXiv 2205.14204).
    "m3ae" => M3ae,
    /// Evolving Losses for Unsupervised Video Representation Learning (arXiv 2002.12177).
    "elo" => Elo,
}

impl System {
    /// The dotted keys of its own settings, without those that every recipe has.
    pub(crate) fn keys(self) -> &'static [String] {
        &KEYS[self as usize]
    }
}
