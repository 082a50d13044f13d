//! Networks of model folders as ONNX files: whole images or clips in, features or scores of classes
//! out.

mod residual;
mod transformer;
mod video;

use std::path::Path;

use bauta_files::write_whole;
use bauta_onnx::{Dim, Graph, Value};
use tch::{Device, Kind, Tensor};

use crate::{
    ChannelStatistics, ClipFolder, EncoderHead, ModelConfig, ModelError, ModelFolder, Parameters,
    Preprocessing, ResNetFolder, VideoFolder,
};

/// Name of the input, [batch, C, H, W] or [batch, C, T, H, W].
const PIXELS: &str = "pixel_values";

/// Writes the network of a model folder as an ONNX file (opset 17), and returns a description. The
/// input of the file is normalised images `pixel_values` [batch, C, H, W], or clips [batch, C, T,
/// H, W]. Its outputs are
///
/// - for a transformer, `last_hidden_state` [batch, 1 + L, D], the class token first, and
///   `features` [batch, D], the mean of the patch tokens; with a classifier also `logits`
///   [batch, classes], and with a pooler `pooler_output`;
/// - for a video transformer the same, with `features` as in [`VideoTransformer::features`];
/// - for a residual network `features` [batch, D], and with a classifier `logits`.
///
/// Decoders, mask tokens and heads for masked patches are left out. The metadata contain the means
/// and standard deviations from the folder's `preprocessor_config.json`, or from a video folder's
/// `config.json`.
///
/// [`VideoTransformer::features`]: crate::VideoTransformer::features
///
/// # Errors
/// As in reading the folder; [`ModelError::Config`] for a (2+1)D residual network and for a network
/// of 2 GiB or more; [`ModelError::Occupied`] when `to` already exists. Nothing is written in these
/// cases.
pub fn export_onnx(from: &Path, to: &Path) -> Result<String, ModelError> {
    if to.exists() {
        return Err(ModelError::Occupied(to.into()));
    }
    let Network { graph, about, statistics } = Network::read(from)?;
    let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(", ");
    let said = statistics.map(|ChannelStatistics { mean, deviation }| {
        [("image_mean", list(&mean)), ("image_std", list(&deviation))]
    });
    let words = [("network", about.clone())].into_iter().chain(said.into_iter().flatten());
    let words: Vec<(&str, String)> = words.collect();
    let words: Vec<(&str, &str)> = words.iter().map(|(key, word)| (*key, word.as_str())).collect();
    let bytes = graph.into_bytes(&words).map_err(|error| ModelError::Config(error.to_string()))?;
    write_whole(to, &bytes).map_err(|source| ModelError::Io { path: to.into(), source })?;
    Ok(format!("{about}, {} bytes, in {}", bytes.len(), to.display()))
}

/// The graph that [`export_onnx`] writes.
///
/// # Errors
/// As [`export_onnx`].
pub fn onnx_graph(from: &Path) -> Result<Graph, ModelError> {
    Ok(Network::read(from)?.graph)
}

/// The network of a folder.
struct Network {
    graph: Graph,
    /// A description.
    about: String,
    statistics: Option<ChannelStatistics>,
}

impl Network {
    fn read(from: &Path) -> Result<Self, ModelError> {
        if VideoFolder::describes(from) {
            return Self::of_video(&VideoFolder::read(from)?);
        }
        if ClipFolder::describes(from) {
            let reason = "video residual networks cannot be exported as ONNX; video \
                          transformers and image models can";
            return Err(ModelError::Config(reason.to_owned()));
        }
        if ResNetFolder::describes(from) {
            let folder = ResNetFolder::read(from)?;
            let (config, classes) = (folder.config(), folder.classes());
            let parameters = match folder.classified(Device::Cpu, None)? {
                Some((parameters, _)) => parameters,
                None => folder.encoder(Device::Cpu)?.0,
            };
            let graph = residual::graph(&Weights(&parameters), config, classes);
            let with = classes.map(|classes| format!(" with a classifier of {classes} classes"));
            let about = format!("residual network{}", with.unwrap_or_default());
            let statistics = statistics(folder.preprocessing(), config.channels)?;
            return Ok(Self { graph, about, statistics });
        }
        let folder = ModelFolder::read(from)?;
        let (graph, about) = of_transformer(&folder)?;
        let statistics = statistics(folder.preprocessing(), folder.config().channels())?;
        Ok(Self { graph, about, statistics })
    }

    /// The encoder of a video folder, with the classifier that the folder holds.
    fn of_video(folder: &VideoFolder) -> Result<Self, ModelError> {
        let (parameters, encoder) = folder.encoder(Device::Cpu)?;
        let head = ["head.weight", "head.bias"].map(|name| folder.tensors().get(name));
        let classifier = match head {
            [Some(weight), Some(bias)] => Some([weight, bias]),
            _ => None,
        };
        let graph = video::graph(&Weights(&parameters), &encoder, classifier);
        let with = classifier.map(|[weight, _]| format!(" of {} classes", weight.size()[0]));
        let with = with.map_or_else(String::new, |classes| format!(" with a classifier{classes}"));
        let config = folder.config();
        let (mean, deviation) = (config.image_mean.clone(), config.image_std.clone());
        Ok(Self {
            graph,
            about: format!("video transformer{with}"),
            statistics: Some(ChannelStatistics { mean, deviation }),
        })
    }
}

fn statistics(
    preprocessing: Option<&Preprocessing>,
    channels: usize,
) -> Result<Option<ChannelStatistics>, ModelError> {
    preprocessing.map(|preprocessing| preprocessing.statistics(channels)).transpose()
}

/// The graph of a ViT, BEiT or CLIP tower, with the classifier or pooler that the folder holds.
fn of_transformer(folder: &ModelFolder) -> Result<(Graph, String), ModelError> {
    let has_head = folder.tensors().contains_key("head.weight");
    let headed = match folder.config() {
        ModelConfig::Vit(_) => true,
        ModelConfig::Beit(_) => has_head,
        _ => false,
    };
    if headed {
        let (parameters, model) = folder.vit(Device::Cpu)?;
        let encoder = model.encoder();
        let graph = transformer::graph(&Weights(&parameters), encoder, model.kind());
        let about = match model.kind() {
            EncoderHead::Classifier(classes) | EncoderHead::MeanClassifier(classes) => {
                format!("vision transformer with a classifier of {classes} classes")
            }
            EncoderHead::Pooler(_) => "vision transformer with a pooler".to_owned(),
            EncoderHead::None => "vision transformer".to_owned(),
        };
        return Ok((graph, about));
    }
    let (parameters, encoder) = folder.image_encoder(Device::Cpu, None)?;
    let graph = transformer::graph(&Weights(&parameters), &*encoder, EncoderHead::None);
    Ok((graph, "encoder of a vision transformer".to_owned()))
}

/// The weights of a network, by name.
struct Weights<'a>(&'a Parameters);

impl Weights<'_> {
    /// Adds a weight if it exists.
    fn maybe(&self, graph: &mut Graph, name: &str) -> Option<Value> {
        let tensor = &self.0.get(name)?.tensor;
        Some(add(graph, name, tensor))
    }

    /// Adds a weight that every such network has.
    fn add(&self, graph: &mut Graph, name: &str) -> Value {
        let missing = || unreachable!("a network of this kind has {name}");
        self.maybe(graph, name).unwrap_or_else(missing)
    }

    /// Adds `NAME.weight` and `NAME.bias`.
    fn pair(&self, graph: &mut Graph, name: &str) -> [Value; 2] {
        ["weight", "bias"].map(|part| self.add(graph, &format!("{name}.{part}")))
    }
}

/// Adds a tensor as a weight.
fn add(graph: &mut Graph, name: &str, tensor: &Tensor) -> Value {
    let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).flatten(0, -1);
    let mut values = vec![0.0; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    graph.weight(name, &shape, &values)
}

/// The input of normalised images.
fn images(graph: &mut Graph, channels: usize, [height, width]: [Dim<'_>; 2]) -> Value {
    graph.input(PIXELS, &[Dim::Named("batch"), Dim::Of(channels), height, width])
}

/// The input of normalised clips.
fn clips(graph: &mut Graph, channels: usize, [frames, height, width]: [Dim<'_>; 3]) -> Value {
    graph.input(PIXELS, &[Dim::Named("batch"), Dim::Of(channels), frames, height, width])
}
