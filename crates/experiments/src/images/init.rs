//! Weights that training starts from: `model.init`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bauta_backbones::{Beginning, ImageEncoder, ModelFolder, SizeDifference};
use bauta_eval::starting_weights;
use bauta_report::Section;
use bauta_train::Standing;

use super::Student;
use crate::run::Run;

const TITLE: &str = "Starting weights";

impl Run<'_> {
    /// Loads the weights of the folder `init` with `begin`, if a folder is given and `phase` has
    /// not begun; a resumed phase has those of its checkpoint. What was and was not loaded is
    /// logged and shown in the report.
    ///
    /// # Errors
    /// As `begin`: when the folder cannot be read, or its encoder is of another kind or size.
    pub fn start_from(
        &mut self,
        init: Option<&Path>,
        phase: &str,
        begin: impl FnOnce(&Path) -> Result<Beginning>,
    ) -> Result<()> {
        let Some(init) = init else { return Ok(()) };
        let section = if self.standing(phase)? != Standing::Ahead {
            let sections = Section::read_all(self.folder())?;
            sections.into_iter().find(|section| section.title == TITLE)
        } else {
            let begun = begin(init)
                .with_context(|| format!("cannot start from model.init {}", init.display()))?;
            tracing::info!("model.init {}: {begun}", init.display());
            Some(starting_weights(TITLE, init, &begun))
        };
        if !self.has_section(TITLE) {
            section.into_iter().for_each(|section| self.section(section));
        }
        Ok(())
    }
}

impl<E: ImageEncoder> Student<E> {
    /// Loads a folder's weights, including those of decoder and heads.
    ///
    /// # Errors
    /// When the folder cannot be read, or its encoder is of another kind or size.
    pub fn begin(&self, init: &Path) -> Result<Beginning> {
        let folder = ModelFolder::read(init)?;
        let sizes = self.encoder.transformer().map(|own| folder.size_differences(own));
        let said: Vec<String> = sizes.transpose()?.iter().flatten().map(in_keys).collect();
        ensure!(said.is_empty(), "{}; give the recipe the folder's sizes", said.join(", "));
        Ok(folder.begin(&self.encoder, &self.parameters)?)
    }
}

/// A size that differs, with the key that sets it.
fn in_keys(difference: &SizeDifference) -> String {
    let SizeDifference { size, folder, network } = *difference;
    match size {
        "channels" => format!("the images have {network} channels against the folder's {folder}"),
        "mlp_dim" => format!("model.mlp_ratio gives {network} against the folder's {folder}"),
        key => format!("model.{key} is {network} against the folder's {folder}"),
    }
}
