//! What a recipe may say of distillation: the `teacher`, `target.features` and `stages`
//! tables (the slots of MaskDistill's unified view, and dBOT's stages).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Place, RecipeError};
use crate::load::Layers;
use crate::schema::{Recipe, System, TargetKind};
use crate::validate::{Violation, at_least_one, ensure, positive};

/// The frozen network whose features of the whole image are predicted.
///
/// What the kind does not read is left out of the resolved recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Where it comes from.
    pub kind: TeacherKind,
    /// With kind `folder`: a model folder, ours or Hugging Face's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// With kind `recipe`: the recipe that trains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// With kind `recipe`: overrides of that recipe, `key=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// With kind `random`: its number of blocks, that of the student if not given; with 0
    /// it is patch embedding and positions alone (dBOT's published ViT-L and ViT-H).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Side of the square images that it sees, in pixels; if not given, the side at which
    /// its tokens are the student's (a transformer), or `data.image_size` (a conv net).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// With a conv net: pixels of its image from one feature to the next; 4, 8, 16 or 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Apply a transformer's final norm to its features.
    #[serde(default)]
    pub final_norm: bool,
}

/// Teachers, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherKind {
    /// The pixels of each patch: no network.
    Pixels,
    /// A copy of the student's initial encoder.
    Random,
    /// A model folder.
    Folder,
    /// What another recipe trains; trained first, and kept.
    Recipe,
    /// EfficientNet-Lite0, trained with labels on ImageNet.
    EfficientnetLite0,
}

impl TeacherKind {
    /// Every teacher, in the order of the documentation.
    pub const ALL: [Self; 5] =
        [Self::Pixels, Self::Random, Self::Folder, Self::Recipe, Self::EfficientnetLite0];

    /// The name that recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "pixels",
            Self::Random => "random",
            Self::Folder => "folder",
            Self::Recipe => "recipe",
            Self::EfficientnetLite0 => "efficientnet-lite0",
        }
    }
}

/// How a teacher's features become targets, and how predictions are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureTarget {
    /// What is done to each token's features.
    pub normalization: Normalization,
    /// How prediction and target are compared.
    pub loss: Loss,
    /// Where smooth L1 passes from square to line.
    #[serde(default = "one")]
    pub beta: f64,
}

/// Normalisations of a token's features, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// As they are.
    None,
    /// Mean 0 and unbiased variance 1, eps 1e-6 in the root (dBOT; MAE's pixels).
    Standardize,
    /// Mean 0 and biased variance 1, eps 1e-6 in the root (layer norm without affine parameters).
    LayerNorm,
    /// Euclidean length 1.
    L2,
}

impl Normalization {
    /// Every normalisation, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::None, Self::Standardize, Self::LayerNorm, Self::L2];

    /// The name that recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standardize => "standardize",
            Self::LayerNorm => "layer-norm",
            Self::L2 => "l2",
        }
    }
}

/// Losses on features, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean squared error.
    Mse,
    /// Smooth L1, with the transition at `beta`.
    SmoothL1,
    /// 1 − cosine similarity of a token's prediction and target.
    Cosine,
}

impl Loss {
    /// Every loss, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Mse, Self::SmoothL1, Self::Cosine];

    /// The name that recipes use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::SmoothL1 => "smooth-l1",
            Self::Cosine => "cosine",
        }
    }
}

/// Stages of training: each begins with a new student, taught by the one before (dBOT §3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stages {
    /// How many; `train.epochs` is the length of each.
    pub count: u32,
    /// Begin each stage with fresh optimiser moments; the reference keeps the old student's.
    pub reset_optimizer: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Self { count: 2, reset_optimizer: true }
    }
}

fn one() -> f64 {
    1.0
}

impl Recipe {
    /// What holds between teacher, target and system.
    pub(crate) fn check_teacher(&self) -> Result<(), Violation> {
        let system = self.system.name();
        let teaches = self.system != System::Mae;
        // i-MAE's may be left out; `check_mixture` knows when.
        let optional = self.system == System::IMae && self.teacher.is_none();
        require("teacher", system, teaches && !optional, self.teacher.is_some())?;
        let features = self.target.kind == TargetKind::Features;
        let distills = matches!(self.system, System::DBot | System::MaskDistill);
        ensure(features == distills, &["target.kind"], || {
            let kind = self.target.kind.name();
            format!("target.kind \"{kind}\" is nothing that system \"{system}\" can predict")
        })?;
        require("target.features", system, features, self.target.features.is_some())?;
        require("stages", system, self.system == System::DBot, self.stages.is_some())?;
        if let Some(features) = &self.target.features {
            positive("target.features.beta", features.beta)?;
        }
        if let Some(stages) = &self.stages {
            at_least_one("stages.count", stages.count as usize)?;
        }
        self.teacher.as_ref().map_or(Ok(()), |teacher| teacher.check(self.system))
    }
}

impl Teacher {
    /// The recipe that trains it, by its name in `recipes` or its path, with its overrides.
    ///
    /// # Errors
    /// [`RecipeError`] when there is none of that name, it is not valid, or its own teacher
    /// would have to be trained first.
    pub fn recipe(&self, recipes: &Path) -> Result<Option<Recipe>, RecipeError> {
        let Some(name) = &self.recipe else { return Ok(None) };
        let path = crate::find(recipes, name)?;
        let recipe = Recipe::load(&path, &Layers { quick: false, set: self.set.clone() })?;
        let nested = recipe.teacher.as_ref().is_some_and(|own| own.kind == TeacherKind::Recipe);
        if nested {
            let message = format!(
                "teacher.recipe {name} has itself a teacher that a recipe trains; run it first, \
                 then name its checkpoint with teacher.kind=folder and teacher.model=DIR"
            );
            return Err(RecipeError::Invalid { place: Place::File(path.into()), message });
        }
        Ok(Some(recipe))
    }

    /// Forgets what another kind of teacher would read, so that `teacher.kind` alone can be
    /// overridden.
    pub(crate) fn keep_own(&mut self) {
        use TeacherKind::{EfficientnetLite0, Folder, Pixels, Random, Recipe};
        let kind = self.kind;
        let forget = |unless: &[TeacherKind]| !unless.contains(&kind);
        self.model.take_if(|_| forget(&[Folder]));
        self.recipe.take_if(|_| forget(&[Recipe]));
        if forget(&[Recipe]) {
            self.set.clear();
        }
        self.depth.take_if(|_| forget(&[Random]));
        self.stride.take_if(|_| forget(&[EfficientnetLite0]));
        self.image_size.take_if(|_| kind == Pixels);
        self.final_norm &= !forget(&[Random, Folder, Recipe]);
    }

    fn check(&self, system: System) -> Result<(), Violation> {
        let Self { kind, model, recipe, image_size, stride, .. } = self;
        let name = kind.name();
        let (folder, of_recipe) = (*kind == TeacherKind::Folder, *kind == TeacherKind::Recipe);
        let convolutional = *kind == TeacherKind::EfficientnetLite0;
        for (key, missing) in [
            ("teacher.model", folder && model.is_none()),
            ("teacher.recipe", of_recipe && recipe.is_none()),
            ("teacher.stride", convolutional && stride.is_none()),
        ] {
            ensure(!missing, &[key, "teacher.kind"], || {
                format!("{key} is missing: a teacher of kind \"{name}\" needs it")
            })?;
        }
        if let Some(stride) = *stride {
            ensure([4, 8, 16, 32].contains(&stride), &["teacher.stride"], || {
                format!("teacher.stride {stride} is none of 4, 8, 16 and 32")
            })?;
        }
        if let Some(side) = *image_size {
            at_least_one("teacher.image_size", side)?;
        }
        ensure(system != System::IMae || folder || of_recipe, &["teacher.kind"], || {
            format!(
                "teacher.kind \"{name}\" does not do for system \"i-mae\": its teacher is a \
                 masked autoencoder; take \"recipe\" or \"folder\""
            )
        })
    }
}

/// A table stands where, and only where, the system reads it.
pub(crate) fn require(
    table: &'static str,
    system: &str,
    needed: bool,
    given: bool,
) -> Result<(), Violation> {
    ensure(needed || !given, &[table], || {
        format!("{table} means nothing to system \"{system}\" with this target; leave it out")
    })?;
    ensure(given || !needed, &["system"], || {
        format!("{table} is missing: system \"{system}\" needs that table")
    })
}
