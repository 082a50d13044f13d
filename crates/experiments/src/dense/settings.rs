//! The keys that dense tasks know, with their defaults.

use anyhow::{Context, Result, bail, ensure};

/// Settings of a dense task; defaults suit two CPU cores and a small model.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `seed`: of data, head and order.
    pub seed: u64,
    /// `data.limit`: training images at most; composed scenes exactly.
    pub train_limit: usize,
    /// `data.test_limit`: test images at most; composed scenes exactly.
    pub test_limit: usize,
    /// `data.image_size`: height and width; the model's own if not given, composed
    /// scenes at least 64.
    pub image_size: Option<usize>,
    /// `data.objects`: digits in a composed scene at most.
    pub objects: usize,
    /// `head.width`: of UPerNet and the detector, a multiple of 8.
    pub head_width: usize,
    /// `train.steps`.
    pub steps: u64,
    /// `train.batch_size`.
    pub batch_size: usize,
    /// `train.base_lr`: at 256 images a step; by whether the encoder is frozen, if not given.
    pub base_lr: Option<f64>,
    /// `train.weight_decay`.
    pub weight_decay: f64,
    /// `train.threads`: 0 means all.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            train_limit: 4000,
            test_limit: 500,
            image_size: None,
            objects: 4,
            head_width: 64,
            steps: 300,
            batch_size: 32,
            base_lr: None,
            weight_decay: 0.05,
            threads: 0,
        }
    }
}

const KEYS: &str = "seed, data.limit, data.test_limit, data.image_size, data.objects, head.width, \
    train.steps, train.batch_size, train.base_lr, train.weight_decay, train.threads";

impl Settings {
    /// Reads `KEY=VALUE` overrides.
    pub fn new(overrides: &[String]) -> Result<Self> {
        let mut settings = Self::default();
        for text in overrides {
            let (key, value) = text
                .split_once('=')
                .with_context(|| format!("--set {text}: it has the form KEY=VALUE"))?;
            settings.set(key.trim(), value.trim()).with_context(|| format!("--set {text}"))?;
        }
        settings.check()?;
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "seed" => self.seed = value.parse()?,
            "data.limit" => self.train_limit = value.parse()?,
            "data.test_limit" => self.test_limit = value.parse()?,
            "data.image_size" => self.image_size = Some(value.parse()?),
            "data.objects" => self.objects = value.parse()?,
            "head.width" => self.head_width = value.parse()?,
            "train.steps" => self.steps = value.parse()?,
            "train.batch_size" => self.batch_size = value.parse()?,
            "train.base_lr" => self.base_lr = Some(value.parse()?),
            "train.weight_decay" => self.weight_decay = value.parse()?,
            "train.threads" => self.threads = value.parse()?,
            _ => bail!("no such key; there are {KEYS}"),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("data.limit", self.train_limit),
            ("data.test_limit", self.test_limit),
            ("data.objects", self.objects),
            ("train.batch_size", self.batch_size),
            ("train.steps", self.steps as usize),
        ];
        for (key, value) in positive {
            ensure!(value > 0, "{key} is 0; it must be at least 1");
        }
        let rate = self.base_lr.unwrap_or(1.0);
        ensure!(rate > 0.0 && rate.is_finite(), "train.base_lr is {rate}; it must be positive");
        let decay = self.weight_decay;
        ensure!(decay >= 0.0 && decay.is_finite(), "train.weight_decay is {decay}; at least 0");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(overrides: &[&str]) -> Result<Settings> {
        Settings::new(&overrides.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn overrides_are_read_and_wrong_ones_refused() {
        let settings = read(&["train.steps=7", "data.image_size = 96"]).unwrap();
        assert_eq!((settings.steps, settings.image_size, settings.seed), (7, Some(96), 0));
        for (text, word) in [
            ("steps=7", "train.steps"),
            ("train.steps", "KEY=VALUE"),
            ("train.steps=x", "invalid digit"),
            ("train.steps=0", "at least 1"),
            ("train.base_lr=-1", "positive"),
        ] {
            let error = format!("{:#}", read(&[text]).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
