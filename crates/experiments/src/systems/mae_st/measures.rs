//! Quality of the features of clips, for each label of the test videos.

use std::sync::Arc;

use anyhow::Result;
use bauta_data::LoaderConfig;
use bauta_data::video::Views;
use bauta_eval::{ClipProtocols, EncodeError, Metrics, Scores};
use tch::Tensor;

use super::clips::spread;
use super::{Clips, MaeSt};
use crate::run::{Console, Run};
use crate::settings::evaluators;

/// Videos in one forward pass of a frozen encoder.
const BATCH: usize = 100;

impl Clips {
    /// Refuses protocols that do not suit the labels, before anything is trained.
    ///
    /// # Errors
    /// As [`ClipProtocols::check`].
    pub(super) fn check(&self, run: &Run<'_>) -> Result<()> {
        let console = Console::new(run.stop);
        match self.protocols(&console)? {
            Some(protocols) => Ok(protocols.check()?),
            None => Ok(()),
        }
    }

    /// The protocols, if videos are held out and have labels.
    fn protocols<'a>(&self, console: &'a Console<'a>) -> Result<Option<ClipProtocols<'a>>> {
        let Some(test) = &self.test else { return Ok(None) };
        let views = Views { clips: self.eval.views.clips, crops: self.eval.views.crops };
        let batch_size = (BATCH / views.count()).max(1);
        let train = spread(Arc::clone(&self.train), self.eval.limit);
        let protocols = ClipProtocols {
            evaluators: evaluators(&self.eval.as_eval())?,
            sources: [train, Arc::clone(test)],
            label: None,
            sampling: self.sampling.clone(),
            views,
            loader: LoaderConfig { batch_size, ..self.loader.clone() },
            device: self.device,
            watch: console,
        };
        let labelled = protocols.sets().next().is_some();
        Ok(labelled.then_some(protocols))
    }
}

/// Measures a trained system's features of clips, and the baselines: raw pixels, and the same
/// network untrained.
pub(super) fn probe(
    trained: &MaeSt,
    untrained: &MaeSt,
    clips: &Clips,
    run: &mut Run<'_>,
) -> Result<Scores> {
    run.measures()?;
    let console = Console::new(run.stop);
    let Some(protocols) = clips.protocols(&console)? else {
        tracing::info!("the videos have no labels, or none are held out: nothing to evaluate");
        return Ok(Scores::default());
    };
    let measure = |name: &str, system: &MaeSt| -> Result<Metrics> {
        let encode = |pixels: &Tensor| -> Result<Tensor, EncodeError> {
            Ok(system.encoder.features(&system.normalization.normalize(pixels), None)?)
        };
        Ok(protocols.measure(name, &encode)?)
    };
    let mut scores = Scores::default();
    if clips.eval.baselines {
        scores.extend_baseline("raw_pixels", protocols.measure_raw_pixels()?);
        scores.extend_baseline("random_init", measure("random init", untrained)?);
    }
    scores.eval = measure("trained", trained)?;
    let views = clips.eval.views;
    let mut lines = vec![format!(
        "Features: mean of the patch tokens, then the final norm, of whole clips, averaged over \
         {} × {} views of each video.",
        views.clips, views.crops
    )];
    lines.extend(protocols.evaluators.iter().map(|e| format!("{}: {}", e.name(), e.settings())));
    run.explain(lines);
    Ok(scores)
}
