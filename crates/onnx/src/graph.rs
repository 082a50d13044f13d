//! A graph of nodes over inputs and weights.

use prost::Message;
use thiserror::Error;

use crate::proto::{
    AttributeMessage, Dimension, Entry, FLOAT, GraphMessage, INT64, Model, Node, OperatorSet,
    ShapeMessage, TensorMessage, TensorType, Type, ValueInfo,
};

/// Opset 17 is the first with layer normalisation.
const OPSET: i64 = 17;
/// The version of the file format that came with this opset.
const IR_VERSION: i64 = 8;
/// The format's own limit for the size of a file.
const MOST_BYTES: usize = (1 << 31) - 1;

/// A graph that cannot be written.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnnxError {
    /// Larger than a file of this format can be.
    #[error(
        "the network takes {bytes} bytes, but an ONNX file holds at most {MOST_BYTES}; export a \
         smaller one, or its model folder"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// An input or output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(pub(crate) String);

/// One side of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim<'a> {
    /// Fixed length.
    Of(usize),
    /// Any length, under this name.
    Named(&'a str),
}

/// A network under construction.
#[derive(Clone, Debug)]
pub struct Graph {
    graph: GraphMessage,
}

impl Graph {
    /// An empty graph called `name`.
    pub fn new(name: &str) -> Self {
        Self { graph: GraphMessage { name: name.to_owned(), ..GraphMessage::default() } }
    }

    /// Adds an input in single precision.
    pub fn input(&mut self, name: &str, shape: &[Dim<'_>]) -> Value {
        self.graph.input.push(described(name, shape));
        Value(name.to_owned())
    }

    /// Makes a value an output with the given name and shape, in single precision.
    pub fn output(&mut self, name: &str, value: &Value, shape: &[Dim<'_>]) {
        self.push("Identity", &[value], Vec::new(), name.to_owned());
        self.graph.output.push(described(name, shape));
    }

    /// Adds a tensor in single precision that is stored in the file; `values` are row by row.
    pub fn weight(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(name.to_owned(), shape, FLOAT, bytes)
    }

    /// Adds a scalar constant.
    pub fn scalar(&mut self, value: f32) -> Value {
        let name = self.fresh("scalar");
        self.initializer(name, &[], FLOAT, value.to_le_bytes().to_vec())
    }

    /// Adds a list of whole numbers, such as a shape.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = self.fresh("integers");
        self.initializer(name, &[values.len()], INT64, bytes)
    }

    /// Adds a node with one input.
    pub fn unary(&mut self, op: &str, x: &Value) -> Value {
        self.node(op, &[x], Vec::new())
    }

    /// Adds a node with two inputs.
    pub fn binary(&mut self, op: &str, x: &Value, y: &Value) -> Value {
        self.node(op, &[x, y], Vec::new())
    }

    /// Adds a node with attributes.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeMessage>,
    ) -> Value {
        let name = self.fresh(op);
        self.push(op, inputs, attributes, name.clone());
        Value(name)
    }

    /// The bytes of the file, with `about` as its metadata.
    ///
    /// # Errors
    /// [`OnnxError::TooLarge`] for a network of 2 GiB or more.
    pub fn into_bytes(self, about: &[(&str, &str)]) -> Result<Vec<u8>, OnnxError> {
        let entry = |&(key, value): &(&str, &str)| Entry { key: key.into(), value: value.into() };
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: "Bauta".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
            metadata: about.iter().map(entry).collect(),
        };
        match model.encoded_len() {
            bytes if bytes > MOST_BYTES => Err(OnnxError::TooLarge { bytes }),
            _ => Ok(model.encode_to_vec()),
        }
    }

    /// Every weight and node as a line of text: a weight's name and shape; a node's outputs, kind,
    /// inputs and attributes.
    ///
    /// Networks of the same structure have the same lines, whatever their weights.
    pub fn structure(&self) -> Vec<String> {
        let of_node = |node: &Node| {
            let attribute = |attribute: &AttributeMessage| {
                let AttributeMessage { name, f, i, ints, .. } = attribute;
                match (f, i) {
                    (Some(f), _) => format!("{name}={f:?}"),
                    (_, Some(i)) => format!("{name}={i}"),
                    _ => format!("{name}={ints:?}"),
                }
            };
            let attributes: Vec<String> = node.attribute.iter().map(attribute).collect();
            let [outputs, inputs] = [&node.output, &node.input].map(|names| names.join(", "));
            format!("{outputs} = {}({inputs}) {}", node.op_type, attributes.join(" "))
        };
        let of_weight = |weight: &TensorMessage| format!("{}: {:?}", weight.name, weight.dims);
        let weights = self.graph.initializer.iter().map(of_weight);
        weights.chain(self.graph.node.iter().map(of_node)).collect()
    }

    fn push(&mut self, op: &str, inputs: &[&Value], attribute: Vec<AttributeMessage>, out: String) {
        self.graph.node.push(Node {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            name: out.clone(),
            output: vec![out],
            op_type: op.to_owned(),
            attribute,
        });
    }

    fn initializer(&mut self, name: String, shape: &[usize], kind: i32, bytes: Vec<u8>) -> Value {
        self.graph.initializer.push(TensorMessage {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: kind,
            name: name.clone(),
            raw_data: bytes,
        });
        Value(name)
    }

    /// An unused name.
    fn fresh(&self, what: &str) -> String {
        format!("{what}.{}", self.graph.node.len() + self.graph.initializer.len())
    }
}

/// A number as an attribute.
pub(crate) fn float(name: &str, value: f32) -> AttributeMessage {
    AttributeMessage { name: name.to_owned(), f: Some(value), kind: 1, ..Default::default() }
}

/// A whole number as an attribute.
pub(crate) fn int(name: &str, value: i64) -> AttributeMessage {
    AttributeMessage { name: name.to_owned(), i: Some(value), kind: 2, ..Default::default() }
}

/// Whole numbers as an attribute.
pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeMessage {
    AttributeMessage { name: name.to_owned(), ints: values.to_vec(), kind: 7, ..Default::default() }
}

fn described(name: &str, shape: &[Dim<'_>]) -> ValueInfo {
    let dim = |dim: &Dim<'_>| match *dim {
        Dim::Of(side) => Dimension { value: Some(side as i64), name: None },
        Dim::Named(name) => Dimension { value: None, name: Some(name.to_owned()) },
    };
    let shape = ShapeMessage { dim: shape.iter().map(dim).collect() };
    let tensor = TensorType { element: FLOAT, shape: Some(shape) };
    ValueInfo { name: name.to_owned(), kind: Some(Type { tensor: Some(tensor) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_back_as_it_was_made() {
        let mut graph = Graph::new("g");
        let x = graph.input("x", &[Dim::Named("batch"), Dim::Of(2)]);
        let w = graph.weight("w", &[2, 2], &[1.0, -2.0, 0.5, f32::MAX]);
        let y = graph.binary("MatMul", &x, &w);
        let y = graph.node("Softmax", &[&y], vec![int("axis", -1)]);
        graph.output("y", &y, &[Dim::Named("batch"), Dim::Of(2)]);
        let structure = graph.structure();
        assert_eq!(structure[0], "w: [2, 2]");
        assert_eq!(structure[2], "Softmax.2 = Softmax(MatMul.1) axis=-1");
        let bytes = graph.clone().into_bytes(&[("key", "word")]).unwrap();
        let model = Model::decode(&bytes[..]).unwrap();
        assert_eq!(model.opset_import[0].version, 17);
        assert_eq!(model.metadata[0].value, "word");
        let read = model.graph.unwrap();
        assert_eq!(read, graph.graph);
        assert_eq!(read.initializer[0].raw_data[4..8], (-2.0_f32).to_le_bytes());
        assert_eq!(read.output[0].name, "y");
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut graph = Graph::new("g");
        let x = graph.input("x", &[Dim::Of(1)]);
        for _ in 0..5 {
            let one = graph.scalar(1.0);
            let _ = graph.binary("Add", &x, &one);
            let _ = graph.integers(&[1]);
        }
        let mut names: Vec<&str> = graph.graph.node.iter().map(|node| &*node.output[0]).collect();
        names.extend(graph.graph.initializer.iter().map(|weight| weight.name.as_str()));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), all), (15, 15));
    }
}
