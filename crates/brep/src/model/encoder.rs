//! Encoders of faces: with attention from vertices to edges to faces (the paper's), and with
//! max-relative convolutions over loops (from the paper's first version, an ablation).
//!
//! A face's code depends only on its own edges and their vertices; other faces contribute in the
//! heads.

use bauta_backbones::Scope;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::linear::{Affine, leaky};
use super::{BipartiteAttention, GraphBatch, MaxRelative};
use crate::geometry::{EDGE_WIDTH, FACE_WIDTH, LoopKind};

/// How codes are computed from features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderKind {
    /// Two bipartite attention convolutions.
    #[default]
    Attention,
    /// Max-relative convolutions from vertices to edges to loops to faces.
    Loops,
}

/// Sizes of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// How codes are computed.
    pub kind: EncoderKind,
    /// Width of a code.
    pub dim: i64,
    /// Heads of the convolution onto edges; for kind `attention`.
    pub edge_heads: i64,
    /// Heads of the convolution onto faces; for kind `attention`.
    pub face_heads: i64,
}

impl Default for EncoderConfig {
    /// The paper's settings.
    fn default() -> Self {
        Self { kind: EncoderKind::Attention, dim: 64, edge_heads: 2, face_heads: 16 }
    }
}

/// Maps graphs to a code for each face.
#[derive(Debug)]
pub struct FaceEncoder(Layers);

#[derive(Debug)]
enum Layers {
    Attention { edges: BipartiteAttention, faces: BipartiteAttention },
    Loops(Box<Upwards>),
}

/// The upward pass of the authors' SB-GCN.
#[derive(Debug)]
struct Upwards {
    /// Embeddings of vertices, edges, loops and faces.
    embed: [Affine; 4],
    /// Convolutions onto edges, loops and faces.
    convolve: [MaxRelative; 3],
}

impl FaceEncoder {
    /// Adds the encoder's parameters.
    pub fn new(mut scope: Scope<'_>, config: &EncoderConfig) -> Self {
        let (dim, edge, face) = (config.dim, EDGE_WIDTH as i64, FACE_WIDTH as i64);
        Self(match config.kind {
            EncoderKind::Attention => Layers::Attention {
                edges: BipartiteAttention::new(
                    scope.sub("v_to_e"),
                    [3, edge],
                    dim,
                    config.edge_heads,
                ),
                faces: BipartiteAttention::new(
                    scope.sub("e_to_f"),
                    [dim, face],
                    dim,
                    config.face_heads,
                ),
            },
            EncoderKind::Loops => {
                let mut embed = |name: &str, width: i64| Affine::new(scope.sub(name), width, dim);
                let embed = [
                    embed("embed_v", 3),
                    embed("embed_e", edge),
                    embed("embed_l", LoopKind::COUNT as i64),
                    embed("embed_f", face),
                ];
                let mut convolve = |name: &str| MaxRelative::new(scope.sub(name), dim);
                let convolve = [convolve("v_to_e"), convolve("e_to_l"), convolve("l_to_f")];
                Layers::Loops(Box::new(Upwards { embed, convolve }))
            }
        })
    }

    /// The codes [F, D] of all faces.
    pub fn forward(&self, batch: &GraphBatch) -> Tensor {
        match &self.0 {
            Layers::Attention { edges, faces } => {
                let codes = edges.forward(&batch.vertices, &batch.edges, &batch.vertex_edge);
                faces.forward(&codes, &batch.faces, &batch.edge_face)
            }
            Layers::Loops(upwards) => upwards.forward(batch),
        }
    }
}

impl Upwards {
    fn forward(&self, batch: &GraphBatch) -> Tensor {
        let features = [&batch.vertices, &batch.edges, &batch.loops, &batch.faces];
        let embedded = |i: usize| leaky(&self.embed[i].forward(features[i]), 0.01);
        let incidences = [&batch.vertex_edge, &batch.edge_loop, &batch.loop_face];
        let mut codes = embedded(0);
        for (i, it) in incidences.into_iter().enumerate() {
            codes = self.convolve[i].forward(&codes, &embedded(i + 1), &it.from, &it.to);
        }
        codes
    }
}
