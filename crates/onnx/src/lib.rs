//! Networks as ONNX files (opset 17), written node by node.
//!
//! A [`Graph`] has inputs, weights and nodes; the output of a node is a [`Value`] that other nodes
//! read. Layers of transformers and residual networks are methods of the graph. Values are not
//! computed here, and shapes are not checked: a runtime does both when it loads the file.
//!
//! ```
//! use bauta_onnx::{Dim, Graph};
//!
//! let mut graph = Graph::new("doubled");
//! let x = graph.input("x", &[Dim::Named("batch"), Dim::Of(3)]);
//! let two = graph.scalar(2.0);
//! let y = graph.binary("Mul", &x, &two);
//! graph.output("y", &y, &[Dim::Named("batch"), Dim::Of(3)]);
//! let bytes = graph.into_bytes(&[("made by", "an example")])?;
//! assert!(!bytes.is_empty());
//! # Ok::<(), bauta_onnx::OnnxError>(())
//! ```

mod graph;
mod layers;
mod proto;

pub use graph::{Dim, Graph, OnnxError, Value};
pub use layers::{Attention, Gelu};
