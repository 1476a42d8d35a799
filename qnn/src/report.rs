//! What became of a network's nodes.

use std::fmt;

/// Which layers run in integers, and which should but do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The integer layers in the order of computation.
    pub layers: Vec<Taken>,
    /// Quantized layers that stay in floats. What lies before the first `QuantizeLinear` and after the last
    /// `DequantizeLinear` is not among them: the network wants it in floats.
    pub left: Vec<Left>,
}

/// A layer that runs in integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The node's name in the network.
    pub name: String,
    /// The integer layer, as in `Int8Conv`.
    pub layer: &'static str,
}

/// A layer that stays in floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The node's name in the network.
    pub name: String,
    /// What it is to tract.
    pub op: String,
    /// Why.
    pub reason: String,
}

impl Report {
    /// Whether everything between the first `QuantizeLinear` and the last `DequantizeLinear` is in integers.
    pub fn is_complete(&self) -> bool {
        !self.layers.is_empty() && self.left.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers in integers", self.layers.len())?;
        for Left { name, op, reason } in &self.left {
            write!(f, "\n{name} ({op}) stays in floats: {reason}")?;
        }
        Ok(())
    }
}
