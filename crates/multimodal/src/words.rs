//! A word plan on the device, in the forms that gather operations need.

use bauta_masking::WordPlan;
use tch::{Device, Kind, Tensor};

/// The indices of a [`WordPlan`], as tensors on one device: B texts of T positions with V slots.
#[derive(Debug)]
pub struct WordIndices {
    samples: i64,
    tokens: i64,
    slots: i64,
    blank: bool,
    /// Positions of the visible words, [B · V].
    visible: Tensor,
    /// The same as rows of [B · T].
    visible_rows: Tensor,
    /// Slots of the positions as rows of [B · (V + 1)], the last of each sample for masked ones.
    restore_rows: Tensor,
    filled: Tensor,
    eligible: Tensor,
    hidden: Tensor,
    shares: Tensor,
}

impl WordIndices {
    /// Copies a plan to a device.
    pub fn new(plan: &WordPlan, device: Device) -> Self {
        let (samples, tokens) = (plan.samples() as i64, plan.tokens() as i64);
        let slots = plan.slots() as i64;
        let in_rows = |places: &[i64], width: i64, rows: i64| {
            let first = Tensor::arange(samples, (Kind::Int64, Device::Cpu)) * rows;
            let places = Tensor::from_slice(places).view([samples, width]);
            (places + first.unsqueeze(1)).flatten(0, -1).to_device(device)
        };
        let flags =
            |flags: &[bool]| Tensor::from_slice(flags).view([samples, -1]).to_device(device);
        let (hidden, shares) = plan.hidden();
        Self {
            samples,
            tokens,
            slots,
            blank: !plan.eligible().contains(&true),
            visible: Tensor::from_slice(plan.visible()).to_device(device),
            visible_rows: in_rows(plan.visible(), slots, tokens),
            restore_rows: in_rows(plan.restore(), tokens, slots + 1),
            filled: flags(plan.filled()),
            eligible: flags(plan.eligible()),
            hidden: Tensor::from_slice(&hidden).to_device(device),
            shares: Tensor::from_slice(&shares).to_device(device),
        }
    }

    /// Number of texts, B.
    pub fn samples(&self) -> i64 {
        self.samples
    }

    /// Positions of a text, T.
    pub fn tokens(&self) -> i64 {
        self.tokens
    }

    /// Slots of visible words, V.
    pub fn slots(&self) -> i64 {
        self.slots
    }

    /// Whether there are no words at all: every position of every text is padding.
    pub fn is_blank(&self) -> bool {
        self.blank
    }

    /// Whether a slot holds a word, bool [B, V].
    pub fn filled(&self) -> &Tensor {
        &self.filled
    }

    /// Whether a position holds a word, bool [B, T].
    pub fn eligible(&self) -> &Tensor {
        &self.eligible
    }

    /// The masked positions as rows of [B · T].
    pub fn hidden(&self) -> &Tensor {
        &self.hidden
    }

    /// The weight of each masked position in the mean over its own text.
    pub fn shares(&self) -> &Tensor {
        &self.shares
    }

    /// Positions of the visible words, [B · V].
    pub(crate) fn places(&self) -> &Tensor {
        &self.visible
    }

    /// Gathers the ids of the visible words, [B, T] to [B, V]; 0 in slots without a word, since
    /// padding can have any id, also one that is not in the vocabulary.
    pub(crate) fn visible_of(&self, ids: &Tensor) -> Tensor {
        let seen = ids.flatten(0, -1).index_select(0, &self.visible_rows);
        seen.view([self.samples, self.slots]) * &self.filled
    }

    /// Moves words [B, V, C] to their positions and puts `mask` \[C\] at all others, [B, T, C].
    pub(crate) fn restored(&self, words: &Tensor, mask: &Tensor) -> Tensor {
        let (samples, width) = (self.samples, words.size()[2]);
        let mask = mask.view([1, 1, width]).expand([samples, 1, width], false);
        let rows = Tensor::cat(&[words, &mask], 1).view([-1, width]);
        rows.index_select(0, &self.restore_rows).view([samples, self.tokens, width])
    }

    /// Gathers the rows at the masked positions, [B, T, C] to [N, C].
    pub fn gather_hidden(&self, x: &Tensor) -> Tensor {
        x.flatten(0, 1).index_select(0, &self.hidden)
    }

    /// The ids of the masked words, [B, T] to \[N\].
    pub fn hidden_ids(&self, ids: &Tensor) -> Tensor {
        ids.flatten(0, -1).index_select(0, &self.hidden)
    }
}
