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
    /// Gives a student, decoder and heads included, the weights of the folder `init`, where
    /// there is one and `phase` has not begun: a phase that goes on has its checkpoint's.
    /// What was loaded and what was not is logged and shown in the report.
    ///
    /// # Errors
    /// When the folder cannot be read, or its encoder is of another kind or size.
    pub fn start_from<E: ImageEncoder>(
        &mut self,
        init: Option<&Path>,
        phase: &str,
        student: &Student<E>,
    ) -> Result<()> {
        let Some(init) = init else { return Ok(()) };
        let section = if self.standing(phase)? != Standing::Ahead {
            let sections = Section::read_all(self.folder())?;
            sections.into_iter().find(|section| section.title == TITLE)
        } else {
            let begun = begin(init, student)
                .with_context(|| format!("model.init {} cannot be started from", init.display()))?;
            tracing::info!("model.init {}: {begun}", init.display());
            Some(starting_weights(TITLE, init, &begun))
        };
        if !self.has_section(TITLE) {
            section.into_iter().for_each(|section| self.section(section));
        }
        Ok(())
    }
}

fn begin<E: ImageEncoder>(init: &Path, student: &Student<E>) -> Result<Beginning> {
    let folder = ModelFolder::read(init)?;
    let different = folder.size_differences(student.encoder.sizes())?;
    let said: Vec<String> = different.iter().map(in_keys).collect();
    ensure!(said.is_empty(), "{}; give the recipe the folder's sizes", said.join(", "));
    Ok(folder.begin(&student.encoder, &student.parameters)?)
}

/// A size that differs, by the key that says it.
fn in_keys(difference: &SizeDifference) -> String {
    let SizeDifference { size, folder, network } = *difference;
    match size {
        "channels" => format!("the images have {network} channels, the folder's {folder}"),
        "mlp_dim" => format!("model.mlp_ratio gives {network} against the folder's {folder}"),
        key => format!("model.{key} is {network} against the folder's {folder}"),
    }
}
