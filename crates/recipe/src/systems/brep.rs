//! B-Rep: codes of the faces of CAD parts, by decoding their surfaces and trims
//! (arXiv 2210.10807).

use std::path::PathBuf;

use bauta_datasets::{PACKAGES, Package};
use serde::{Deserialize, Serialize};
use strum::Display;

use crate::data_need::DataNeed;
use crate::reading::{
    Violation, at_least_one, each_must_be, ensure, fraction, must_be, no_repeats, positive,
    proper_fraction,
};
use crate::system_settings::SystemSettings;
use crate::tables::limits::{count, within_limit};
use crate::tables::{Pictures, Train};

/// Settings of a recipe of system `brep`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brep {
    /// The parts.
    pub data: PartData,
    /// The encoder of faces.
    pub model: FaceModel,
    /// The network from codes to surfaces and trims.
    pub decoder: FieldDecoder,
    /// The prediction target.
    #[serde(default)]
    pub target: Field,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: FaceEval,
}

/// The parts to train on, and those to test on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartData {
    /// Where the parts come from.
    pub name: PartSource,
    /// With `prepared`: the folder that `cargo xtask prepare-step` wrote. With `occt-misc` and
    /// `kicad`: the same for these shapes; if not given, it is made in the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Train on only the first this many parts; `generated` makes this many, 600 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// With `generated`: parts to test on.
    #[serde(default = "defaults::test")]
    pub test: usize,
    /// For files without a `test` folder next to `train`: the fraction of parts to test on, in
    /// (0, 1), chosen by their names.
    #[serde(default = "defaults::holdout")]
    pub holdout: f64,
    /// Which parts `holdout` must keep together.
    #[serde(default)]
    pub split_by: SplitBy,
    /// With `generated`: number of targets kept per face.
    #[serde(default = "defaults::targets")]
    pub targets: usize,
    /// With `generated`: number of candidates the targets are chosen from.
    #[serde(default = "defaults::candidates")]
    pub candidates: usize,
    /// With `generated`: the fraction of the targets that are those nearest to the trim.
    #[serde(default = "defaults::near")]
    pub near: f64,
}

/// Where parts come from, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PartSource {
    /// Labelled machining parts, made on the fly.
    Generated,
    /// A folder of prepared parts.
    Prepared,
    /// The sample shapes of Debian's package `occt-misc`: a smoke test on real files.
    OcctMisc,
    /// The parts of Debian's package `kicad-packages3d`: electronic components in folders of
    /// families.
    Kicad,
}

/// What keeps parts on one side of a split, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum SplitBy {
    /// The name of the file.
    #[default]
    Name,
    /// The name up to its first digit: sizes of one design. Whole designs of each family are held
    /// out, up to the fraction.
    BaseName,
}

/// The encoder of faces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceModel {
    /// How codes are computed.
    #[serde(default)]
    pub encoder: FaceEncoder,
    /// Width of a code, D.
    pub dim: usize,
    /// With encoder `attention`: heads from vertices to edges.
    #[serde(default = "defaults::edge_heads")]
    pub edge_heads: usize,
    /// With encoder `attention`: heads from edges to faces.
    #[serde(default = "defaults::face_heads")]
    pub face_heads: usize,
}

/// Encoders of faces, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum FaceEncoder {
    /// Attention from vertices to edges to faces.
    #[default]
    Attention,
    /// Max-relative convolutions from vertices to edges to loops to faces.
    Loops,
}

/// The decoder: a perceptron that gets its input again at every layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDecoder {
    /// Width of its hidden layers.
    pub dim: usize,
    /// Number of its layers, at least 2.
    pub depth: usize,
}

/// The prediction target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Field {
    /// The channels.
    pub kind: Channels,
    /// Points per face in a step.
    pub points: usize,
}

impl Default for Field {
    fn default() -> Self {
        Self { kind: Channels::default(), points: 100 }
    }
}

/// What the decoder predicts from a code, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Channels {
    /// Points of the surface, and the signed distance to the trim.
    #[default]
    Both,
    /// Points of the surface.
    Explicit,
    /// The signed distance to the trim.
    Implicit,
}

/// What is measured at the end: a head on a few labelled parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaceEval {
    /// Labelled training parts; each number gives its own metrics.
    pub labelled: Vec<usize>,
    /// Draws of the labelled parts and of the head's start; metrics are means over them.
    pub repeats: usize,
    /// Steps of training a head.
    pub steps: u64,
    /// Its learning rate.
    pub lr: f64,
    /// Layers of message passing between neighbouring faces; 0 makes the head a perceptron.
    pub layers: usize,
    /// Measure a frozen random encoder and training from scratch too.
    pub baselines: bool,
    /// Train encoder and head from scratch on at most this many labelled parts.
    pub scratch_limit: usize,
    /// Pictures of parts.
    pub pictures: Pictures,
}

impl Default for FaceEval {
    fn default() -> Self {
        Self {
            labelled: vec![10],
            repeats: 5,
            steps: 300,
            lr: 1e-3,
            layers: 2,
            baselines: true,
            scratch_limit: 50,
            pictures: Pictures { count: 6 },
        }
    }
}

mod defaults {
    pub(super) fn test() -> usize {
        150
    }
    pub(super) fn holdout() -> f64 {
        0.2
    }
    pub(super) fn targets() -> usize {
        200
    }
    pub(super) fn candidates() -> usize {
        1000
    }
    pub(super) fn near() -> f64 {
        0.4
    }
    pub(super) fn edge_heads() -> usize {
        2
    }
    pub(super) fn face_heads() -> usize {
        16
    }
}

/// Number of generated parts where a recipe gives none.
const GENERATED: usize = 600;

/// Maximum numbers of generated parts, points per face, and heads.
const MOST_PARTS: usize = 1_000_000;
const MOST_POINTS: usize = 100_000;
const MOST_HEADS: usize = 1024;

/// Checks that a count is from 1 to `most`.
fn bounded(key: &str, value: usize, most: usize) -> Result<(), Violation> {
    at_least_one(key, value)?;
    must_be(value <= most, key, value, &format!("at most {most}"))
}

impl PartData {
    /// Number of parts that are generated to train on.
    pub fn generated(&self) -> usize {
        self.limit.unwrap_or(GENERATED)
    }

    /// The package that holds the parts, if there is one and no folder is given.
    pub fn package(&self) -> Option<&'static Package> {
        let fetched = match self.name {
            PartSource::OcctMisc | PartSource::Kicad => self.root.is_none(),
            PartSource::Generated | PartSource::Prepared => false,
        };
        let name = self.name.to_string();
        PACKAGES.iter().find(|package| fetched && package.name == name)
    }

    /// The folder of the package's prepared parts in the data cache.
    pub fn cached(&self) -> Option<String> {
        self.package().map(|package| format!("{}-parts", package.name))
    }

    fn check(&self, train: &Train) -> Result<(), Violation> {
        const ROOT: &str = "data.root";
        self.limit.map_or(Ok(()), |limit| at_least_one("data.limit", limit))?;
        fraction("data.near", self.near)?;
        proper_fraction("data.holdout", self.holdout)?;
        match self.name {
            PartSource::Generated => {
                ensure(self.root.is_none(), &[ROOT, "data.name"], || {
                    format!("{ROOT} is only used with data.name \"prepared\"; remove it")
                })?;
                bounded("data.test", self.test, MOST_PARTS)?;
                bounded("data.targets", self.targets, MOST_POINTS)?;
                bounded("data.candidates", self.candidates, MOST_POINTS)?;
                ensure(self.targets <= self.candidates, &["data.targets"], || {
                    format!(
                        "data.targets is {}; it must be at most data.candidates, {}",
                        self.targets, self.candidates
                    )
                })?;
                let parts = self.generated();
                bounded("data.limit", parts, MOST_PARTS)?;
                ensure(parts >= train.batch_size, &["train.batch_size", "data.limit"], || {
                    let batch = train.batch_size;
                    format!("train.batch_size is {batch}; it must be at most the {parts} parts")
                })
            }
            PartSource::OcctMisc | PartSource::Kicad => Ok(()),
            PartSource::Prepared => ensure(self.root.is_some(), &[ROOT, "data.name"], || {
                format!(
                    "{ROOT} is missing: data.name \"prepared\" needs the folder that \
                     `cargo xtask prepare-step` wrote"
                )
            }),
        }
    }
}

impl SystemSettings for Brep {
    const NAME: &'static str = "brep";

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        count("model.dim", self.model.dim)?;
        bounded("model.edge_heads", self.model.edge_heads, MOST_HEADS)?;
        bounded("model.face_heads", self.model.face_heads, MOST_HEADS)?;
        count("decoder.dim", self.decoder.dim)?;
        count("decoder.depth", self.decoder.depth)?;
        must_be(self.decoder.depth >= 2, "decoder.depth", self.decoder.depth, "at least 2")?;
        bounded("target.points", self.target.points, MOST_POINTS)?;
        let eval = &self.eval;
        each_must_be("eval.labelled", &eval.labelled, |parts| parts > 0, "at least 1")?;
        no_repeats("eval.labelled", &eval.labelled)?;
        bounded("eval.repeats", eval.repeats, 1000)?;
        bounded("eval.steps", eval.steps as usize, 1_000_000)?;
        positive("eval.lr", eval.lr)?;
        must_be(eval.layers <= 100, "eval.layers", eval.layers, "at most 100")?;
        within_limit("eval.pictures.count", eval.pictures.count as f64)
    }

    fn data(&self) -> Vec<DataNeed> {
        let package = self.data.package();
        let name = match (self.data.name, package) {
            (_, Some(package)) => package.name,
            (PartSource::Generated, None) => "generated parts",
            (_, None) => "prepared parts",
        };
        vec![DataNeed { name, package }]
    }
}
