//! In which range the values between the layers lie, over the films of the calibration.

use std::collections::BTreeMap;

use chestlight::preprocess::InputTensor;
use thiserror::Error;
use tract_onnx::prelude::*;

use super::graph::{Graph, INPUT};
use super::{proto, write_f32};

/// Steps in which a range is counted out.
const BINS: usize = 4_096;

/// The values of one name; 0 is always among them, because padding needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// At most 0.
    pub low: f32,
    /// At least 0.
    pub high: f32,
}

/// The range of each value that a layer reads, by name.
pub type Ranges = BTreeMap<String, Range>;

/// The network did not run.
#[derive(Debug, Error)]
#[error("the network cannot be run to learn its ranges: {0:#}")]
pub struct ObserveError(TractError);

/// Runs the films through the f32 network and returns the range of every value that a layer reads.
///
/// Of each value the outer `1 - percentile` at either end is left out: a few extreme values would cost all others
/// their resolution. The input keeps its whole range.
///
/// # Errors
/// [`ObserveError`] when tract cannot run the network.
pub fn observe(
    graph: &Graph,
    films: &[InputTensor],
    percentile: f64,
    tick: &mut dyn FnMut(),
) -> Result<Ranges, ObserveError> {
    let names: Vec<String> =
        graph.nodes.iter().filter(|node| graph.reads(&node.name)).map(|node| node.name.clone()).collect();
    let mut plan = || -> TractResult<_> {
        let onnx = proto::with_outputs(&write_f32(graph), &names)?;
        let plan = tract_onnx::onnx().model_for_read(&mut onnx.as_slice())?.into_optimized()?.into_runnable()?;
        let mut ranges: Ranges = BTreeMap::new();
        let mut counts: BTreeMap<&String, Vec<u64>> = BTreeMap::new();
        // The first pass finds the ends, the second counts between them; keeping all values would take gigabytes.
        for counting in [false, true] {
            for film in films {
                let input = Tensor::from_shape(&[1, 3, film.height, film.width], &film.plane.repeat(3))?;
                if !counting {
                    widen(&mut ranges, INPUT, &film.plane);
                }
                for (name, values) in names.iter().zip(plan.run(tvec!(input.into()))?) {
                    let values: Vec<f32> = values.to_plain_array_view::<f32>()?.iter().copied().collect();
                    match ranges.get(name) {
                        Some(range) if counting => count(counts.entry(name).or_insert(vec![0; BINS]), range, &values),
                        _ => widen(&mut ranges, name, &values),
                    }
                }
                tick();
            }
        }
        for (name, counts) in counts {
            if let Some(range) = ranges.get_mut(name) {
                *range = narrowed(range, &counts, percentile);
            }
        }
        Ok(ranges)
    };
    plan().map_err(ObserveError)
}

fn widen(ranges: &mut Ranges, name: &str, values: &[f32]) {
    let range = ranges.entry(name.to_owned()).or_insert(Range { low: 0.0, high: 0.0 });
    for value in values {
        range.low = range.low.min(*value);
        range.high = range.high.max(*value);
    }
}

fn count(counts: &mut [u64], range: &Range, values: &[f32]) {
    let scale = BINS as f32 / (range.high - range.low).max(f32::MIN_POSITIVE);
    for value in values {
        let bin = ((value - range.low) * scale) as usize;
        if let Some(count) = counts.get_mut(bin.min(BINS - 1)) {
            *count += 1;
        }
    }
}

/// The range without the outer values; the bin in which a percentile falls stays whole, so that small tensors keep
/// their largest value.
fn narrowed(range: &Range, counts: &[u64], percentile: f64) -> Range {
    let outside = (counts.iter().sum::<u64>() as f64 * (1.0 - percentile)).floor() as u64;
    let step = (range.high - range.low) / BINS as f32;
    let passed = |counts: &mut dyn Iterator<Item = &u64>| {
        let mut seen = 0;
        counts
            .take_while(|count| {
                seen += **count;
                seen <= outside
            })
            .count() as f32
    };
    Range {
        low: (range.low + passed(&mut counts.iter()) * step).min(0.0),
        high: (range.high - passed(&mut counts.iter().rev()) * step).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_drop_outliers_but_never_zero_and_never_the_bulk() {
        let whole = Range { low: -2.0, high: 6.0 };
        let mut counts = vec![10; BINS];
        assert_eq!(narrowed(&whole, &counts, 1.0), whole);
        // All but one of a million values lie in the lower half.
        counts = vec![0; BINS];
        counts[0] = 1_000_000;
        counts[BINS / 2 - 1] = 1_000_000;
        counts[BINS - 1] = 1;
        assert_eq!(narrowed(&whole, &counts, 0.9999), Range { low: -2.0, high: 2.0 });
        assert_eq!(narrowed(&whole, &counts, 1.0), whole);
        // A small tensor keeps its one large value.
        counts.iter_mut().for_each(|count| *count = (*count).min(100));
        assert_eq!(narrowed(&whole, &counts, 0.9999), whole);
        let positive = Range { low: 0.0, high: 1.0 };
        counts = vec![0; BINS];
        counts[BINS - 1] = 5;
        assert_eq!(narrowed(&positive, &counts, 0.99).low, 0.0);
    }
}
