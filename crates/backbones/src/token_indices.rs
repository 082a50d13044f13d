//! A mask plan on the device, in the forms that gather operations need.

use bauta_masking::MaskPlan;
use tch::{Device, Kind, Tensor};

/// The indices of a [`MaskPlan`], as tensors on one device.
///
/// B samples of L tokens, V visible and M masked; *plan order* is the V
/// visible tokens, then the M masked ones.
#[derive(Debug)]
pub struct TokenIndices {
    batch: i64,
    visible_count: i64,
    masked_count: i64,
    visible: Tensor,
    masked: Tensor,
    restore: Tensor,
    first_rows: Tensor,
}

impl TokenIndices {
    /// Copies a plan to a device.
    pub fn new(plan: &MaskPlan, device: Device) -> Self {
        let batch = plan.samples() as i64;
        let tensor =
            |indices: &[i64]| Tensor::from_slice(indices).view([batch, -1]).to_device(device);
        let tokens = plan.tokens() as i64;
        Self {
            batch,
            visible_count: plan.visible_count() as i64,
            masked_count: plan.masked_count() as i64,
            visible: tensor(plan.visible()),
            masked: tensor(plan.masked()),
            restore: tensor(plan.restore()),
            first_rows: (Tensor::arange(batch, (Kind::Int64, device)) * tokens).unsqueeze(1),
        }
    }

    /// The same indices, in the same memory.
    pub fn shallow_clone(&self) -> Self {
        let Self { batch, visible_count, masked_count, .. } = *self;
        let [visible, masked, restore, first_rows] =
            [&self.visible, &self.masked, &self.restore, &self.first_rows]
                .map(Tensor::shallow_clone);
        Self { batch, visible_count, masked_count, visible, masked, restore, first_rows }
    }

    /// The same plans `times` over: those of a batch [x; x; …] joined along B.
    ///
    /// # Panics
    /// When `times` is 0.
    pub fn repeated(&self, times: usize) -> Self {
        assert!(times > 0, "a batch is repeated at least once");
        let batch = self.batch * times as i64;
        let again = |indices: &Tensor| indices.repeat([times as i64, 1]);
        let numbers = Tensor::arange(batch, (Kind::Int64, self.visible.device()));
        Self {
            batch,
            visible_count: self.visible_count,
            masked_count: self.masked_count,
            visible: again(&self.visible),
            masked: again(&self.masked),
            restore: again(&self.restore),
            first_rows: (numbers * self.tokens()).unsqueeze(1),
        }
    }

    /// Number of samples, B.
    pub fn batch(&self) -> i64 {
        self.batch
    }

    /// Number of tokens per sample, L.
    pub fn tokens(&self) -> i64 {
        self.visible_count + self.masked_count
    }

    /// Number of visible tokens per sample, V.
    pub fn visible_count(&self) -> i64 {
        self.visible_count
    }

    /// Number of masked tokens per sample, M.
    pub fn masked_count(&self) -> i64 {
        self.masked_count
    }

    /// Indices of the visible tokens, [B, V] in 0..L.
    pub fn visible(&self) -> &Tensor {
        &self.visible
    }

    /// Indices of the masked tokens, [B, M] in 0..L.
    pub fn masked(&self) -> &Tensor {
        &self.masked
    }

    /// Position of each token in plan order, [B, L] (the reference's `ids_restore`).
    pub fn restore(&self) -> &Tensor {
        &self.restore
    }

    /// The mask in image order, [B, L] f32: 1 is masked, 0 is visible.
    pub fn mask(&self) -> Tensor {
        self.restore.ge(self.visible_count).to_kind(Kind::Float)
    }

    /// Gathers the visible tokens of `x` [B, L, C], giving [B, V, C].
    pub fn gather_visible(&self, x: &Tensor) -> Tensor {
        self.gather_rows(x, &self.visible)
    }

    /// Gathers the masked tokens of `x` [B, L, C], giving [B, M, C].
    pub fn gather_masked(&self, x: &Tensor) -> Tensor {
        self.gather_rows(x, &self.masked)
    }

    /// Reorders `x` [B, L, C] from plan order to image order.
    pub fn restore_order(&self, x: &Tensor) -> Tensor {
        self.gather_rows(x, &self.restore)
    }

    /// Copies one row per token instead of gathering elements: several times faster on the CPU.
    fn gather_rows(&self, x: &Tensor, indices: &Tensor) -> Tensor {
        let (batch, _, channels) = x.size3().expect("tokens are [B, L, C]");
        let rows = (indices + &self.first_rows).flatten(0, -1);
        x.reshape([-1, channels]).index_select(0, &rows).view([batch, -1, channels])
    }
}
