//! What the values between the layers are, over the films of the calibration: their range, and the mean of each
//! channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use chestlight::preprocess::InputTensor;
use thiserror::Error;
use tract_onnx::prelude::*;

use super::graph::{Graph, INPUT};
use super::range::{BINS, Histogram, Range};
use super::{proto, write_f32};
use crate::experiment::Observer;

/// The range of each value that a layer reads, by name.
pub type Ranges = BTreeMap<String, Range>;

/// What was observed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Ranges of the values that layers read.
    pub ranges: Ranges,
    /// Means of their channels.
    pub means: BTreeMap<String, Vec<f32>>,
}

/// The network did not run.
#[derive(Debug, Error)]
#[error("the network cannot be run to learn its ranges: {0:#}")]
pub struct ObserveError(TractError);

/// Runs the films through the f32 network and observes every value that a layer reads. The input keeps its whole
/// range. `tick` hears every film, twice.
///
/// # Errors
/// [`ObserveError`] when tract cannot run the network.
pub fn observe(
    graph: &Graph,
    films: &[InputTensor],
    observer: Observer,
    tick: &mut dyn FnMut(),
) -> Result<Observed, ObserveError> {
    let names: Vec<String> =
        graph.nodes.iter().filter(|node| graph.reads(&node.name)).map(|node| node.name.clone()).collect();
    let mut observed = Observed::default();
    let mut histograms: BTreeMap<String, Histogram> = BTreeMap::new();
    // The first pass finds the ends, the second counts between them; keeping all values would take gigabytes.
    for counting in [false, true] {
        for_each(&write_f32(graph), &names, films, &mut |film, values| {
            tick();
            if !counting {
                observed.ranges.entry(INPUT.into()).or_default().widen(&film.plane);
                let mean = film.plane.iter().sum::<f32>() / film.plane.len().max(1) as f32;
                add(observed.means.entry(INPUT.into()).or_default(), &[mean; 3], films.len());
            }
            for (name, value) in names.iter().zip(values) {
                let Some(range) = observed.ranges.get(name).copied().filter(|_| counting) else {
                    observed.ranges.entry(name.clone()).or_default().widen(&value.values);
                    add(observed.means.entry(name.clone()).or_default(), &value.channel_means(), films.len());
                    continue;
                };
                let histogram = histograms.entry(name.clone());
                histogram.or_insert_with(|| Histogram { range, counts: vec![0; BINS] }).count(&value.values);
            }
        })?;
    }
    for (name, histogram) in histograms {
        observed.ranges.insert(name, histogram.chosen(observer));
    }
    Ok(observed)
}

/// One value of a network on one film.
pub(super) struct Value {
    channels: usize,
    /// Channel by channel.
    pub values: Vec<f32>,
}

impl Value {
    fn channel_means(&self) -> Vec<f32> {
        let each = (self.values.len() / self.channels.max(1)).max(1);
        self.values.chunks(each).map(|channel| channel.iter().sum::<f32>() / each as f32).collect()
    }
}

/// Runs every film through an ONNX network and shows the named values.
pub(super) fn for_each(
    onnx: &[u8],
    names: &[String],
    films: &[InputTensor],
    see: &mut dyn FnMut(&InputTensor, Vec<Value>),
) -> Result<(), ObserveError> {
    let probe = Probe::new(onnx, names)?;
    for film in films {
        see(film, probe.values(film)?);
    }
    Ok(())
}

/// A network that tells values from its middle.
pub struct Probe {
    plan: Arc<TypedRunnableModel>,
}

impl Probe {
    /// Prepares an ONNX network to tell the named values.
    ///
    /// # Errors
    /// [`ObserveError`] when tract cannot run the network, or it has no value of such a name.
    pub fn new(onnx: &[u8], names: &[String]) -> Result<Self, ObserveError> {
        let plan = || -> TractResult<_> {
            let onnx = proto::with_outputs(onnx, names)?;
            tract_onnx::onnx().model_for_read(&mut onnx.as_slice())?.into_optimized()?.into_runnable()
        };
        Ok(Self { plan: plan().map_err(ObserveError)? })
    }

    /// The mean of each channel of the first named value of one film.
    ///
    /// # Errors
    /// [`ObserveError`] when the network fails.
    pub fn channel_means(&self, film: &InputTensor) -> Result<Vec<f32>, ObserveError> {
        Ok(self.values(film)?.first().map(Value::channel_means).unwrap_or_default())
    }

    fn values(&self, film: &InputTensor) -> Result<Vec<Value>, ObserveError> {
        let values = || -> TractResult<Vec<Value>> {
            let input = Tensor::from_shape(&[1, 3, film.height, film.width], &film.plane.repeat(3))?;
            let values = self.plan.run(tvec!(input.into()))?;
            values
                .iter()
                .map(|value| {
                    let view = value.to_plain_array_view::<f32>()?;
                    let channels = view.shape().get(1).copied().unwrap_or(1);
                    Ok(Value { channels, values: view.iter().copied().collect() })
                })
                .collect()
        };
        values().map_err(ObserveError)
    }
}

fn add(sums: &mut Vec<f32>, means: &[f32], films: usize) {
    sums.resize(means.len(), 0.0);
    sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean / films.max(1) as f32);
}
