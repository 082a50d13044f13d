//! Quality of features: protocols on the test split, against baselines.

use anyhow::Result;
use bauta_data::LoaderConfig;
use bauta_eval::{EVALUATION_BATCH, EncodeError, Metrics, Protocols, Scores};
use bauta_recipe::{Data, Eval};
use tch::Tensor;

use super::Images;
use crate::finetune;
use crate::run::{Console, Run};
use crate::settings::evaluators;

/// A network's features [B, D] of u8 pixels [B, C, H, W].
pub type Features<'a> = Box<dyn Fn(&Tensor) -> Result<Tensor> + 'a>;

impl Run<'_> {
    /// Opens the images of the run's recipe.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub fn images(&mut self, data: &Data, eval: &Eval) -> Result<Images> {
        let sizes = [self.train.batch_size, self.threads];
        let mut images = Images::open(data, eval, sizes, self.seed, self.device, self.stop)?;
        images.loader.share = self.share();
        if images.loader.share.rank > 0 {
            // Only rank 0 draws pictures.
            images.eval.pictures.count = 0;
        }
        let (splits, LoaderConfig { height, width, .. }) = (&images.splits, &images.loader);
        let test = match splits.held_out() {
            true => format!("{} to measure on", splits.test.len()),
            false => "none to measure on".to_owned(),
        };
        self.trained_on = format!(
            "{}: {} images to train on, {test}, {height} × {width} pixels",
            data.name,
            splits.train.len()
        );
        Ok(Images { epochs: self.train.epochs, ..images })
    }

    /// Measures the features of `trained` and the baselines: raw pixels, the same network
    /// `untrained`, and `others` by their names; then fine-tunes, if the recipe says so. Unlabelled
    /// images give no metrics. All ranks compute features; then the runs of all but rank 0 end.
    ///
    /// # Errors
    /// When images cannot be read, a protocol does not suit them, or the run ends here.
    pub fn probe(
        &mut self,
        images: &Images,
        trained: Features<'_>,
        untrained: Features<'_>,
        others: Vec<(String, Features<'_>)>,
    ) -> Result<Scores> {
        self.measures_together()?;
        self.explain(images.splits.describe());
        if !images.splits.are_labelled() || !images.splits.held_out() {
            tracing::info!("nothing to evaluate: {}", images.splits.describe()[0]);
            return Ok(Scores::default());
        }
        let eval = &images.eval;
        let measured = images.splits.limited(eval.limit);
        let loader = LoaderConfig { batch_size: EVALUATION_BATCH, ..images.loader.clone() };
        let (sources, console) = ([&measured.train, &measured.test], Console::new(self.stop));
        let protocols = Protocols::new(evaluators(eval)?, sources, loader, self.device, &console)?
            .storing(self.feature_store(eval.feature_bytes()));
        let measure = |name: &str, features: &Features<'_>| -> Result<Metrics> {
            let encode = |pixels: &Tensor| features(pixels).map_err(EncodeError::from);
            Ok(protocols.measure(name, &encode)?.into_iter().collect())
        };
        let mut scores = Scores::default();
        if eval.baselines {
            let pixels = protocols.measure_raw_pixels()?.into_iter().collect();
            scores.extend_baseline("raw_pixels", pixels);
            scores.extend_baseline("random_init", measure("random init", &untrained)?);
        }
        for (name, features) in others {
            scores.extend_baseline(&name, measure(&name, &features)?);
        }
        scores.eval = measure("trained", &trained)?;
        self.measures()?;
        self.explain(explanation(images)?);
        if eval.finetune.is_some() {
            scores.extend(finetune::of_run(self, images)?);
        }
        Ok(scores)
    }
}

/// How the numbers were measured, in words.
fn explanation(images: &Images) -> Result<Vec<String>> {
    let eval = &images.eval;
    let mut lines = vec![format!("Features: {}, of whole images.", images.features)];
    let evaluators = evaluators(eval)?;
    lines.extend(evaluators.iter().map(|e| format!("{}: {}", e.name(), e.settings())));
    lines.extend(eval.finetune.as_ref().map(|finetune| finetune.describe()));
    Ok(lines)
}
