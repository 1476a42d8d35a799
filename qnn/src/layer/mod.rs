//! The layers of a network in integers, without tract: bytes in, bytes out.

mod add;
mod concat;
mod conv;
mod edge;
mod mean;
mod pool;

pub(crate) use add::Add;
pub(crate) use concat::Concat;
pub(crate) use conv::{Conv, Ends, Integers, Window};
pub(crate) use edge::{Enter, Leave};
pub(crate) use mean::Mean;
pub(crate) use pool::MaxPool;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::kernel::Kernel;
use crate::map::Map;
use crate::team::Team;

/// A map of another size than the layer was made for, or another number of maps; tract gives none such.
#[derive(Debug)]
pub(crate) struct Misfit;

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of another size than the layer was made for")
    }
}

impl Error for Misfit {}

/// Why something has no integer form.
pub(crate) type Reason = Cow<'static, str>;

/// A layer between bytes and bytes.
#[derive(Debug)]
pub(crate) enum Layer {
    Conv(Conv),
    Add(Add),
    MaxPool(MaxPool),
    Mean(Mean),
    Concat(Concat),
}

impl Layer {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Int8Conv",
            Self::Add(_) => "Int8Add",
            Self::MaxPool(_) => "Int8MaxPool",
            Self::Mean(_) => "Int8Mean",
            Self::Concat(_) => "Int8Concat",
        }
    }

    pub fn output(&self) -> Map {
        match self {
            Self::Conv(conv) => conv.output(),
            Self::Add(add) => add.output(),
            Self::MaxPool(pool) => pool.output(),
            Self::Mean(mean) => mean.output(),
            Self::Concat(concat) => concat.output(),
        }
    }

    /// Computes one map. The number and size of the inputs are those that the layer was made for, or it fails.
    pub fn run(&self, kernel: Kernel, team: &Team, inputs: &[&[u8]], out: &mut [u8]) -> Result<(), Misfit> {
        match (self, inputs) {
            (Self::Conv(conv), [x]) => conv.run(kernel, team, x, out),
            (Self::Add(add), [one, other]) => add.run(kernel, team, one, other, out),
            (Self::MaxPool(pool), [x]) => pool.run(kernel, team, x, out),
            (Self::Mean(mean), [x]) => mean.run(kernel, x, out),
            (Self::Concat(concat), inputs) => concat.run(inputs, out),
            _ => Err(Misfit),
        }
    }
}

/// The pixels of a map that is to be written; its zero pixel is written at once.
fn split(map: Map, zero_point: u8, out: &mut [u8]) -> Result<&mut [u8], Misfit> {
    if out.len() != map.bytes() {
        return Err(Misfit);
    }
    let (pixels, zero) = out.split_at_mut(map.pixels() * map.stride());
    zero.fill(zero_point);
    Ok(pixels)
}
