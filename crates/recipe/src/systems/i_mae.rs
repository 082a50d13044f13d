//! i-MAE: two images from their mixture, with latents distilled from a masked autoencoder
//! (arXiv 2210.11470).

use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::{Violation, ensure};
use crate::system_settings::SystemSettings;
use crate::tables::{
    Data, Decoder, Eval, Mask, Mixture, MixtureInit, PixelTarget, Teacher, TeacherKind, Train, Vit,
};

/// Settings of a recipe of system `i-mae`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IMae {
    /// The images.
    pub data: Data,
    /// The encoder of the visible tokens.
    pub model: Vit,
    /// The network that predicts masked patches.
    pub decoder: Decoder,
    /// Which tokens are masked.
    pub mask: Mask,
    /// The prediction target.
    pub target: PixelTarget,
    /// The masked autoencoder whose latents are distilled and whose weights training starts from;
    /// `None` if the mixture needs no teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Teacher>,
    /// The mixtures.
    pub mixture: Mixture,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: Eval,
}

impl IMae {
    /// The token geometry of one image.
    ///
    /// # Errors
    /// [`MaskError`] when the image is not a whole number of patches.
    pub fn grid(&self) -> Result<Grid, MaskError> {
        self.data.grid(self.model.patch_size)
    }

    /// The teacher is a masked autoencoder, and can be missing if nothing needs it.
    fn check_teacher(&self) -> Result<(), Violation> {
        let Some(teacher) = &self.teacher else {
            return ensure(!self.mixture.needs_teacher(), &["mixture", "system"], || {
                "teacher is missing: system \"i-mae\" needs that table, unless \
                 mixture.latent_weight is 0 and mixture.init is \"random\""
                    .to_owned()
            });
        };
        let kind = teacher.kind;
        ensure(
            matches!(kind, TeacherKind::Folder | TeacherKind::Recipe),
            &["teacher.kind", "system"],
            || {
                format!(
                    "system \"i-mae\" needs a masked autoencoder as teacher, but teacher.kind \
                     \"{kind}\" is not one; use recipe or folder"
                )
            },
        )?;
        for (key, given) in [
            ("teacher.image_size", teacher.image_size.is_some()),
            ("teacher.final_norm", teacher.final_norm),
        ] {
            ensure(!given, &[key, "system"], || {
                format!("{key} is not used with system \"i-mae\"; remove it")
            })?;
        }
        teacher.check()
    }

    /// Training starts from the weights of one model only.
    fn check_start(&self) -> Result<(), Violation> {
        let twice = self.model.init.is_some() && self.mixture.init == MixtureInit::Teacher;
        ensure(!twice, &["model.init", "mixture.init"], || {
            "model.init and mixture.init \"teacher\" both say what training starts from; leave \
             one out, or set mixture.init=random"
                .to_owned()
        })
    }
}

impl SystemSettings for IMae {
    const NAME: &'static str = "i-mae";
    const CHECKPOINTS_BLOCKS: bool = true;

    fn complete(&mut self) {
        self.teacher.iter_mut().for_each(Teacher::keep_own);
    }

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        self.model.check()?;
        self.decoder.check()?;
        self.mask.check(&self.data, self.model.patch_size)?;
        self.target.check(Self::NAME)?;
        self.mixture.check()?;
        self.check_teacher()?;
        self.check_start()?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        vec![self.data.need()]
    }

    fn teacher(&self) -> Option<&Teacher> {
        self.teacher.as_ref()
    }
}
