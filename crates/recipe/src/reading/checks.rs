//! What must hold between and beyond the types of a recipe's values.

use std::collections::HashSet;

use bauta_data::DataError;
use bauta_masking::{Grid, MaskError, Strategy};

use crate::error::{Place, RecipeError};
use crate::eval::{Eval, Protocol};
use crate::finetune::FineTune;
use crate::schema::{Decoder, Mask, Model, Recipe, System, Train};
use crate::teacher::require;

/// Values that make no sense, alone or together; the message names key and value.
#[derive(Debug, PartialEq)]
pub(crate) struct Violation {
    /// The keys involved, the one most likely at fault first.
    pub(crate) keys: Vec<&'static str>,
    pub(crate) message: String,
}

impl Recipe {
    /// Checks what types cannot say, for recipes built or changed in code;
    /// [`Recipe::load`] has already done it.
    ///
    /// # Errors
    /// [`RecipeError::Invalid`] for the first value that makes no sense.
    pub fn validate(&self) -> Result<(), RecipeError> {
        self.check().map_err(|violation| RecipeError::Invalid {
            place: Place::File(std::path::Path::new("recipe").into()),
            message: violation.message,
        })
    }

    /// The token geometry of one image.
    ///
    /// # Errors
    /// [`MaskError`] when the image is not a whole number of patches.
    pub fn grid(&self) -> Result<Grid, MaskError> {
        let size = self.data.image_size;
        Grid::of_image(size.height(), size.width(), self.model.patch_size)
    }

    pub(crate) fn check(&self) -> Result<(), Violation> {
        self.check_data()?;
        self.model.check()?;
        self.check_decoder()?;
        let refuse = |key: &'static str| {
            let keys = vec![key, "model.patch_size", "data.image_size"];
            move |error: MaskError| Violation { keys, message: error.to_string() }
        };
        let grid = self.grid().map_err(refuse("model.patch_size"))?;
        self.mask.build(grid).map_err(refuse("mask.ratio"))?;
        self.mask.check()?;
        self.check_teacher()?;
        self.check_mixture()?;
        self.train.check()?;
        self.check_one_step()?;
        self.eval.check()?;
        non_negative("about.minutes", self.about.minutes)
    }

    fn check_data(&self) -> Result<(), Violation> {
        let size = self.data.image_size;
        at_least_one("data.image_size", size.height().min(size.width()))?;
        if let Some(limit) = self.data.limit {
            at_least_one("data.limit", limit)?;
        }
        // The channels are the data set's own; the settings do not depend on them.
        self.data.augment.build(3, size.height(), size.width()).map_err(|error| {
            let key = match error {
                DataError::Setting { key, .. } => key,
                _ => "data.augment",
            };
            Violation { keys: vec![key, "data.image_size"], message: error.to_string() }
        })?;
        let name = self.data.name;
        ensure(
            self.data.root.is_some() || name.package().is_some(),
            &["data.root", "data.name"],
            || {
                format!(
                    "data.root is missing: data.name {:?} reads a folder of yours; \
                 give it with --set data.root=DIR",
                    name.name()
                )
            },
        )
    }

    /// MaskDistill's student sees every position, so it needs no decoder.
    fn check_decoder(&self) -> Result<(), Violation> {
        let decodes = self.system != System::MaskDistill;
        require("decoder", self.system.name(), decodes, self.decoder.is_some())?;
        for (key, given) in [
            ("model.layer_scale", self.model.layer_scale.is_some()),
            ("model.absolute_positions", self.model.absolute_positions),
        ] {
            ensure(!given || self.system == System::MaskDistill, &[key], || {
                format!("{key} means nothing to system \"{}\"", self.system.name())
            })?;
        }
        self.decoder.as_ref().map_or(Ok(()), Decoder::check)
    }

    /// An epoch takes whole steps only, so the images must fill at least one.
    fn check_one_step(&self) -> Result<(), Violation> {
        let Train { batch_size, accumulate, .. } = self.train;
        let step = batch_size.saturating_mul(accumulate);
        let limit = self.data.limit.unwrap_or(usize::MAX);
        ensure(limit >= step, &["data.limit", "train.batch_size", "train.accumulate"], || {
            format!(
                "data.limit {limit} is less than one step of {step} images \
                 (train.batch_size {batch_size} × train.accumulate {accumulate})"
            )
        })
    }
}

impl Mask {
    fn check(&self) -> Result<(), Violation> {
        let Some(tokens) = self.min_block else { return Ok(()) };
        at_least_one("mask.min_block", tokens)?;
        ensure(self.strategy == Strategy::Block, &["mask.min_block", "mask.strategy"], || {
            format!("mask.min_block means nothing to mask.strategy \"{}\"", self.strategy.name())
        })
    }
}

impl Model {
    fn check(&self) -> Result<(), Violation> {
        at_least_one("model.patch_size", self.patch_size)?;
        at_least_one("model.depth", self.depth)?;
        positive("model.mlp_ratio", self.mlp_ratio)?;
        let rate = self.drop_path;
        ensure((0.0..1.0).contains(&rate), &["model.drop_path"], || {
            format!("model.drop_path {rate} is outside [0, 1)")
        })?;
        if let Some(scale) = self.layer_scale {
            positive("model.layer_scale", scale)?;
        }
        check_width("model.dim", self.dim, "model.heads", self.heads)
    }
}

impl Decoder {
    fn check(&self) -> Result<(), Violation> {
        at_least_one("decoder.depth", self.depth)?;
        check_width("decoder.dim", self.dim, "decoder.heads", self.heads)
    }
}

impl Train {
    fn check(&self) -> Result<(), Violation> {
        at_least_one("train.epochs", self.epochs as usize)?;
        at_least_one("train.batch_size", self.batch_size)?;
        at_least_one("train.accumulate", self.accumulate)?;
        positive("train.base_lr", self.base_lr)?;
        non_negative("train.min_lr", self.min_lr)?;
        check_warmup("train.warmup_epochs", self.warmup_epochs, "train.epochs", self.epochs)?;
        non_negative("train.weight_decay", self.weight_decay)?;
        for beta in self.betas {
            ensure((0.0..1.0).contains(&beta), &["train.betas"], || {
                format!("train.betas holds {beta}, which is outside [0, 1)")
            })?;
        }
        if let Some(norm) = self.clip_grad {
            positive("train.clip_grad", norm)?;
        }
        if let Some(decay) = self.ema {
            ensure(decay > 0.0 && decay < 1.0, &["train.ema"], || {
                format!("train.ema {decay} is outside (0, 1)")
            })?;
        }
        ensure(self.log_every > 0, &["train.log_every"], || {
            "train.log_every 0 is less than 1".to_owned()
        })
    }
}

impl Eval {
    pub(crate) fn check(&self) -> Result<(), Violation> {
        let Self { linear, few_shot, semi, .. } = self;
        no_repeats("eval.protocols", self.protocols.iter().map(|protocol| protocol.name()))?;
        self.finetune.as_ref().map_or(Ok(()), FineTune::check)?;
        if let Some(limit) = self.limit {
            at_least_one("eval.limit", limit)?;
        }
        at_least_one("eval.knn.k", self.knn.k)?;
        positive("eval.knn.temperature", self.knn.temperature)?;
        at_least_one("eval.linear.epochs", linear.epochs as usize)?;
        at_least_one("eval.linear.batch_size", linear.batch_size)?;
        positive("eval.linear.base_lr", linear.base_lr)?;
        non_negative("eval.linear.weight_decay", linear.weight_decay)?;
        let warmup = linear.warmup_epochs;
        check_warmup("eval.linear.warmup_epochs", warmup, "eval.linear.epochs", linear.epochs)?;
        for &shots in &few_shot.shots {
            at_least_one("eval.few_shot.shots", shots)?;
        }
        no_repeats("eval.few_shot.shots", &few_shot.shots)?;
        at_least_one("eval.few_shot.draws", few_shot.draws as usize)?;
        for &percent in &semi.percents {
            ensure(percent > 0.0 && percent <= 100.0, &["eval.semi.percents"], || {
                format!("eval.semi.percents holds {percent}, which is outside (0, 100]")
            })?;
        }
        no_repeats("eval.semi.percents", &semi.percents)?;
        at_least_one("eval.semi.epochs", semi.epochs as usize)?;
        at_least_one("eval.semi.batch_size", semi.batch_size)?;
        if self.protocols.contains(&Protocol::Semi) {
            check_warmup("eval.linear.warmup_epochs", warmup, "eval.semi.epochs", semi.epochs)?;
        }
        Ok(())
    }
}

/// Results are named by what a list holds, so it must hold each once.
fn no_repeats<T: ToString>(
    key: &'static str,
    values: impl IntoIterator<Item = T>,
) -> Result<(), Violation> {
    let mut seen = HashSet::new();
    values.into_iter().map(|value| value.to_string()).try_for_each(|value| {
        ensure(seen.insert(value.clone()), &[key], || format!("{key} holds {value} twice"))
    })
}

/// Sine and cosine of two coordinates share the width equally; so do the heads.
fn check_width(
    dim_key: &'static str,
    dim: usize,
    heads_key: &'static str,
    heads: usize,
) -> Result<(), Violation> {
    at_least_one(dim_key, dim)?;
    at_least_one(heads_key, heads)?;
    ensure(dim.is_multiple_of(4), &[dim_key], || {
        format!("{dim_key} {dim} is not a multiple of 4, which 2-D sin-cos positions need")
    })?;
    ensure(dim.is_multiple_of(heads), &[heads_key, dim_key], || {
        format!("{heads_key} {heads} does not divide {dim_key} {dim}")
    })
}

pub(crate) fn check_warmup(
    key: &'static str,
    warmup: f64,
    epochs_key: &'static str,
    epochs: u32,
) -> Result<(), Violation> {
    non_negative(key, warmup)?;
    ensure(warmup <= f64::from(epochs), &[key, epochs_key], || {
        format!("{key} {warmup} is longer than the run, {epochs_key} {epochs}")
    })
}

pub(crate) fn ensure(
    holds: bool,
    keys: &[&'static str],
    message: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { keys: keys.to_vec(), message: message() }) }
}

pub(crate) fn at_least_one(key: &'static str, value: usize) -> Result<(), Violation> {
    ensure(value > 0, &[key], || format!("{key} {value} is less than 1"))
}

pub(crate) fn positive(key: &'static str, value: f64) -> Result<(), Violation> {
    ensure(value.is_finite() && value > 0.0, &[key], || {
        format!("{key} {value} is not a finite number above 0")
    })
}

pub(crate) fn non_negative(key: &'static str, value: f64) -> Result<(), Violation> {
    ensure(value.is_finite() && value >= 0.0, &[key], || {
        format!("{key} {value} is not a finite number of at least 0")
    })
}
