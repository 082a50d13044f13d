//! Criterion benches of the tensor crates, and dated records of measurements.
//!
//! The models of benches and records are built here, once.

use bauta_backbones::masking::{FillStrategy, Filler, Grid, MaskPlan, Partners, RandomMask};
use bauta_backbones::tch::{Device, Kind, Tensor};
use bauta_backbones::{
    Encode, ImageNormalization, MaeDecoder, MaeDecoderConfig, Parameters, ResNetConfig,
    ResNetDepth, Stem, TokenIndices, VideoConfig, VideoDecoder, VideoDecoderConfig,
    VideoTransformer, VisionTransformer, VitConfig, patch_tokens,
};
use bauta_libtorch::{integers, keep_freed_memory, normal};
use bauta_siamese::{FillTensors, Method, Shuffle, Siamese, SiameseConfig, soft_distance};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use bauta_targets::{
    ClipTarget, EncoderTeacher, FeatureLoss, FeatureTarget, Normalization, PixelTarget,
};

/// A masked autoencoder on random images, ready for steps.
pub struct MaeCase {
    parameters: Vec<Tensor>,
    encoder: VisionTransformer,
    decoder: MaeDecoder,
    target: PixelTarget,
    images: Tensor,
    indices: TokenIndices,
}

impl MaeCase {
    /// Builds encoder and decoder for `batch` images, of whose tokens the fraction `ratio` is
    /// masked.
    ///
    /// # Panics
    /// When the sizes do not fit together; the benches give them.
    pub fn new(config: &VitConfig, decoder_depth: usize, batch: usize, ratio: f64) -> Self {
        // As in the program.
        keep_freed_memory();
        let mut parameters = Parameters::new(0, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), config).expect("sizes fit");
        let (dim, heads) = (config.dim, config.heads);
        let decoder = MaeDecoderConfig::new(dim, dim, decoder_depth, heads, config.patch_values());
        let decoder =
            MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).expect("sizes fit");
        let strategy = RandomMask::new(encoder.grid(), ratio).expect("the ratio fits");
        let samples: Vec<u64> = (0..batch as u64).collect();
        let plan = MaskPlan::draw(&strategy, 0, 0, &samples).expect("random masks are equal");
        let sides = [config.channels, config.image_height, config.image_width];
        let [c, h, w] = sides.map(|side| side as i64);
        Self {
            parameters: parameters.trainable().map(|p| p.tensor.shallow_clone()).collect(),
            target: PixelTarget::normalized(encoder.grid(), config.channels),
            images: normal(&[batch as i64, c, h, w], 1.0, &mut stream()),
            indices: TokenIndices::new(&plan, Device::Cpu),
            encoder,
            decoder,
        }
    }

    /// Forward and backward pass; returns the gradients.
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn step(&self) -> Vec<Tensor> {
        let latent = self.encoder.encode(&self.images, Encode::visible(&self.indices));
        let latent = latent.expect("the images fit");
        let prediction = self.decoder.predict_masked(&latent, &self.indices);
        let target = self.target.masked(&self.images, &self.indices);
        let (prediction, target) =
            (prediction.expect("the latent fits"), target.expect("the images fit"));
        let loss = self.target.loss(&prediction, &target).expect("the shapes agree");
        Tensor::run_backward(&[loss], &self.parameters, false, false)
    }
}

/// A masked autoencoder on random clips, ready for steps.
pub struct ClipCase {
    parameters: Vec<Tensor>,
    encoder: VideoTransformer,
    decoder: VideoDecoder,
    target: ClipTarget,
    clips: Tensor,
    indices: TokenIndices,
}

impl ClipCase {
    /// Builds encoder and decoder, of `depth` blocks as wide as the encoder's, for `batch` clips,
    /// of whose tokens the fraction `ratio` is masked; one frame per time step is predicted.
    ///
    /// # Panics
    /// When the sizes do not fit together; the benches give them.
    pub fn new(config: &VideoConfig, depth: usize, batch: usize, ratio: f64) -> Self {
        keep_freed_memory();
        let mut parameters = Parameters::new(0, Device::Cpu);
        let encoder = VideoTransformer::new(parameters.root(), config).expect("sizes fit");
        let (grid, vit) = (encoder.grid(), &config.vit);
        let values = vit.patch_values();
        let decoder = MaeDecoderConfig::new(vit.dim, vit.dim, depth, vit.heads, values);
        let decoder = VideoDecoderConfig::new(decoder);
        let decoder = VideoDecoder::new(parameters.root(), &decoder, grid).expect("sizes fit");
        let strategy = RandomMask::new(grid, ratio).expect("the ratio fits");
        let samples: Vec<u64> = (0..batch as u64).collect();
        let plan = MaskPlan::draw(&strategy, 0, 0, &samples).expect("random masks are equal");
        let chosen: Vec<usize> = (0..grid.time()).map(|step| step * config.patch_frames).collect();
        let target = ClipTarget::new(grid, vit.channels, &chosen, true, Device::Cpu);
        let sides = [batch, vit.channels, config.frames, vit.image_height, vit.image_width];
        Self {
            parameters: parameters.trainable().map(|p| p.tensor.shallow_clone()).collect(),
            target: target.expect("one frame a step"),
            clips: normal(&sides.map(|side| side as i64), 1.0, &mut stream()),
            indices: TokenIndices::new(&plan, Device::Cpu),
            encoder,
            decoder,
        }
    }

    /// Forward and backward pass, with the encoder on visible patches; returns the gradients.
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn step(&self) -> Vec<Tensor> {
        let latent = self.encoder.encode(&self.clips, Encode::visible(&self.indices));
        self.decode(&latent.expect("the clips fit"))
    }

    /// The same with the encoder on all patches, of which the decoder gets the visible ones.
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn full_step(&self) -> Vec<Tensor> {
        let latent = self.encoder.encode(&self.clips, Encode::whole());
        let latent = latent.expect("the clips fit");
        let visible = self.indices.gather_visible(&patch_tokens(&latent));
        self.decode(&Tensor::cat(&[latent.narrow(1, 0, 1), visible], 1))
    }

    /// Matrix-product operations of a full step over those of a step.
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn predicted_speed_up(&self) -> f64 {
        let tokens = self.encoder.grid().tokens();
        let visible = self.indices.visible_count() as usize;
        let decoding = self.decoder.config().step_cost(visible, tokens - visible);
        let step = |patches| (self.encoder.config().step_cost(patches) + decoding).total() as f64;
        step(tokens) / step(visible)
    }

    fn decode(&self, latent: &Tensor) -> Vec<Tensor> {
        let prediction = self.decoder.predict_masked(latent, &self.indices);
        let target = self.target.masked(&self.clips, &self.indices);
        let (prediction, target) =
            (prediction.expect("the latent fits"), target.expect("the clips fit"));
        let loss = self.target.loss(&prediction, &target).expect("the shapes agree");
        Tensor::run_backward(&[loss], &self.parameters, false, false)
    }
}

/// dBOT's student under a teacher of its own sizes, on random images, ready for steps.
pub struct TaughtCase {
    student: MaeCase,
    pixels: Tensor,
    target: FeatureTarget,
}

impl TaughtCase {
    /// Builds student and teacher for `batch` images, with three quarters of their tokens masked.
    ///
    /// # Panics
    /// When the sizes do not fit together; the benches give them.
    pub fn new(config: &VitConfig, decoder_depth: usize, batch: usize) -> Self {
        let mut student = MaeCase::new(config, decoder_depth, batch, 0.75);
        let mut parameters = Parameters::new(0, Device::Cpu);
        let (dim, heads, grid) = (config.dim, config.heads, student.encoder.grid());
        student.encoder = VisionTransformer::new(parameters.root(), config).expect("sizes fit");
        let decoder = MaeDecoderConfig::new(dim, dim, decoder_depth, heads, dim);
        student.decoder = MaeDecoder::new(parameters.root(), &decoder, grid).expect("sizes fit");
        student.parameters = parameters.trainable().map(|p| p.tensor.shallow_clone()).collect();

        let mut frozen = Parameters::new(1, Device::Cpu);
        let teacher = VisionTransformer::new(frozen.root(), config).expect("sizes fit");
        frozen.train_only(|_| false);
        let channels = vec![0.5; config.channels];
        let normalization = ImageNormalization::new(&channels, &channels, Device::Cpu);
        let normalization = normalization.expect("deviations are positive");
        let teacher = EncoderTeacher::new(Box::new(teacher), normalization, false, grid);
        let teacher = Box::new(teacher.expect("the grids are one"));
        let loss = FeatureLoss::SmoothL1 { beta: 2.0 };
        let size = student.images.size();
        Self {
            pixels: integers(&size, 256, &mut stream()).to_kind(Kind::Uint8),
            target: FeatureTarget::new(teacher, Normalization::Standardize, loss),
            student,
        }
    }

    /// The teacher's pass: targets [B, 1 + M, D].
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn teach(&self) -> Tensor {
        let target = self.target.masked(&self.pixels, &self.student.indices);
        target.expect("the images fit")
    }

    /// Forward and backward pass of the student towards these targets; returns the gradients.
    ///
    /// # Panics
    /// Never, with targets of [`Self::teach`].
    pub fn step(&self, target: &Tensor) -> Vec<Tensor> {
        let MaeCase { encoder, decoder, images, indices, parameters, .. } = &self.student;
        let latent = encoder.encode(images, Encode::visible(indices)).expect("the images fit");
        let prediction = decoder.predict_masked_and_class(&latent, indices, None);
        let loss = self.target.loss(&prediction.expect("the latent fits"), target);
        Tensor::run_backward(&[loss.expect("the shapes agree")], parameters, false, false)
    }
}

/// MoCo's networks on two random views, ready for steps with or without mixed images.
pub struct SiameseCase {
    network: Siamese,
    parameters: Vec<Tensor>,
    views: [Tensor; 2],
    key: Tensor,
    shuffle: Shuffle,
    fill: FillTensors,
}

impl SiameseCase {
    /// Builds a ResNet-18 of this width with a small stem and its momentum encoder, for `batch`
    /// images of `side` pixels.
    ///
    /// # Panics
    /// When the sizes do not fit together; the benches give them.
    pub fn new(width: usize, side: usize, batch: usize) -> Self {
        keep_freed_memory();
        let depth = ResNetDepth::Eighteen;
        let config = SiameseConfig {
            method: Method::Moco,
            encoder: ResNetConfig { depth, stem: Stem::Small, width, channels: 3 },
            dim: 128,
            hidden: 0,
            queue: 8 * batch,
            momentum: 0.99,
            temperature: 0.1,
            splits: 8,
            symmetric: false,
        };
        let network = Siamese::new(config, 0, Device::Cpu).expect("sizes fit");
        let mut stream = stream();
        let sides = [batch as i64, 3, side as i64, side as i64];
        let views = [(); 2].map(|()| normal(&sides, 1.0, &mut stream));
        let order: Vec<i64> = (0..batch as i64).rev().collect();
        let shuffle = Shuffle::new(&order, Device::Cpu);
        let key = network.keys(&views[1], None, &shuffle).expect("the views fit");
        let grid = Grid::image(4, 4).expect("cells");
        let filler = Filler::new(FillStrategy::Block, grid, [side; 2], 0.5).expect("cells fit");
        let fill = filler.draw(Partners::Reversal, batch, &mut stream);
        Self {
            parameters: network
                .parameters()
                .trainable()
                .map(|p| p.tensor.shallow_clone())
                .collect(),
            fill: FillTensors::new(&fill, Device::Cpu),
            network,
            views,
            key,
            shuffle,
        }
    }

    /// A pass that learns: the query of a view against its key, and back; returns the gradients.
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn pass(&self) -> Vec<Tensor> {
        self.backward(&self.clean(&self.key))
    }

    /// A pass of keys.
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn keys(&self) -> Tensor {
        self.network.keys(&self.views[1], None, &self.shuffle).expect("the views fit")
    }

    /// Forward and backward passes of a step, with or without mixed images; returns the gradients.
    ///
    /// # Panics
    /// Never, after [`Self::new`].
    pub fn step(&self, mixed: bool) -> Vec<Tensor> {
        let key = self.keys();
        let clean = self.clean(&key);
        if !mixed {
            return self.backward(&clean);
        }
        let seen = self.network.see(&self.fill.mix(&self.views[0])).expect("the views fit");
        let distance = |queries: &Tensor| self.network.distance(queries, &[&key]);
        let [own, partner] = soft_distance(distance, &seen.query, &self.fill.partner_of);
        self.backward(&(clean + own * self.fill.own + partner * (1.0 - self.fill.own)))
    }

    fn clean(&self, key: &Tensor) -> Tensor {
        let seen = self.network.see(&self.views[0]).expect("the views fit");
        self.network.distance(&seen.query, &[key])
    }

    fn backward(&self, loss: &Tensor) -> Vec<Tensor> {
        Tensor::run_backward(&[loss], &self.parameters, false, false)
    }
}

/// Random numbers that are the same in every process.
fn stream() -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named("benches"), epoch: 0, sample: 0 }.stream()
}
