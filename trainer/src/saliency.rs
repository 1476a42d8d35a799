//! Do class maps tell what the network uses? Two questions to them: do they agree with hiding parts of the film, and do
//! they change when the network's weights lose their meaning (Adebayo et al., arXiv:1810.03292)?

use chestlight::explain::evidence;
use chestlight::model::{Engine, EngineError, Outputs};
use chestlight::preprocess::{InputGeometry, InputTensor};
use chestlight::verdict::{Class, Logits};
use serde::Serialize;
use thiserror::Error;

use crate::onnx::shuffled;
use crate::parallel;

/// The maps cannot be examined.
#[derive(Debug, Error)]
pub enum SaliencyError {
    /// The network failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network's file is none.
    #[error("the network is no ONNX: {0}")]
    Onnx(#[from] prost::DecodeError),
}

/// What was found about the class maps of some films.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Saliency {
    /// Films that were looked at.
    pub films: usize,
    /// Mean rank correlation of a film's map with how much hiding each place takes from the class's evidence, -1 to 1.
    pub occlusion: f64,
    /// The same with the map of another film: what the middle of every film explains.
    pub occlusion_of_others: f64,
    /// Films whose own map agrees better than the other film's.
    pub better: usize,
    /// What was randomised, and the mean rank correlation of the maps before and after, -1 to 1: near 0 if the maps
    /// depend on what was learnt.
    pub randomised: Vec<(String, f64)>,
}

/// A film's likeliest class and its map.
struct Seen<'a> {
    input: &'a InputTensor,
    class: Class,
    evidence: Vec<f32>,
    /// Places across and down.
    places: [usize; 2],
}

/// Examines the maps of films; `None` where the network tells none. `blocks` is how many the network has.
///
/// # Errors
/// [`SaliencyError`].
pub fn examine(
    onnx: &[u8],
    geometry: &InputGeometry,
    films: &[InputTensor],
    blocks: usize,
) -> Result<Option<Saliency>, SaliencyError> {
    let engine = Engine::load(onnx, geometry)?;
    let films: Vec<&InputTensor> = films.iter().collect();
    let seen = parallel::each(&films, |input| seen(&engine, input)).into_iter();
    let seen: Vec<Seen<'_>> = seen.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    if seen.is_empty() {
        return Ok(None);
    }
    let drops = parallel::each(&seen, |film| drops(&engine, film)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let own: Vec<f64> = seen.iter().zip(&drops).map(|(film, drops)| rank_correlation(&film.evidence, drops)).collect();
    // The next film's map for the same class.
    let next = seen.iter().cycle().skip(1);
    let others = next.zip(seen.iter().zip(&drops)).map(|(other, (film, drops))| -> Result<f64, SaliencyError> {
        let map = engine.infer(other.input)?.map;
        Ok(map.map_or(0.0, |map| rank_correlation(&evidence(&map, film.class), drops)))
    });
    let others: Vec<f64> = others.collect::<Result<_, _>>()?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut randomised = Vec::new();
    for from_block in [blocks, blocks * 5 / 6, blocks / 2, 0] {
        let engine = Engine::load(&shuffled(onnx, from_block, 1)?, geometry)?;
        let correlation = parallel::each(&seen, |film| -> Result<f64, SaliencyError> {
            let map = engine.infer(film.input)?.map;
            Ok(map.map_or(0.0, |map| rank_correlation(&film.evidence, &evidence(&map, film.class))))
        });
        let correlation: Vec<f64> = correlation.into_iter().collect::<Result<_, _>>()?;
        let name = match from_block {
            0 => "every layer".into(),
            from if from == blocks => "the classifier alone".into(),
            from => format!("the classifier and the blocks from {from} on"),
        };
        randomised.push((name, mean(&correlation)));
    }
    Ok(Some(Saliency {
        films: seen.len(),
        occlusion: mean(&own),
        occlusion_of_others: mean(&others),
        better: own.iter().zip(&others).filter(|(own, other)| own > other).count(),
        randomised,
    }))
}

fn seen<'a>(engine: &Engine, input: &'a InputTensor) -> Result<Option<Seen<'a>>, SaliencyError> {
    let Outputs { logits: Logits(logits), map, .. } = engine.infer(input)?;
    let Some(map) = map else { return Ok(None) };
    let top = Class::ALL.into_iter().zip(logits).max_by(|a, b| a.1.total_cmp(&b.1));
    let class = top.map_or(Class::Normal, |(class, _)| class);
    Ok(Some(Seen { input, class, evidence: evidence(&map, class), places: [map.width(), map.height()] }))
}

/// How much the evidence for the film's class falls when each place of the map, with half a place around it, is filled
/// with the film's mean.
fn drops(engine: &Engine, film: &Seen<'_>) -> Result<Vec<f32>, SaliencyError> {
    let [across, down] = film.places;
    let InputTensor { width, height, plane } = film.input;
    let mean = plane.iter().sum::<f32>() / plane.len().max(1) as f32;
    let whole = margin(engine.infer(film.input)?.logits, film.class);
    let within = |at: usize, side: usize, place: usize, places: usize| {
        let middle = (place as f32 + 0.5) / places as f32;
        ((at as f32 + 0.5) / side as f32 - middle).abs() <= 1.0 / places as f32
    };
    (0..across * down)
        .map(|place| {
            let hidden = plane.iter().enumerate().map(|(at, value)| {
                let (x, y) = (at % width, at / width);
                let inside = within(x, *width, place % across, across) && within(y, *height, place / across, down);
                if inside { mean } else { *value }
            });
            let input = InputTensor { width: *width, height: *height, plane: hidden.collect() };
            Ok(whole - margin(engine.infer(&input)?.logits, film.class))
        })
        .collect()
}

/// A class's logit less the mean of the others'.
fn margin(Logits(logits): Logits, class: Class) -> f32 {
    let sum: f32 = logits.iter().sum();
    let own = logits.get(class as usize).copied().unwrap_or_default();
    own - (sum - own) / 2.0
}

/// Spearman's rank correlation, -1 to 1; 0 where one side does not vary.
fn rank_correlation(a: &[f32], b: &[f32]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let middle = (a.len() as f64 - 1.0) / 2.0;
    let products = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    let spread = (products(&a, &a) * products(&b, &b)).sqrt();
    if spread > 0.0 { products(&a, &b) / spread } else { 0.0 }
}

/// The rank of each value from 0; equal values share the mean of their ranks.
fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<(usize, f32)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|a, b| a.1 == b.1) {
        let rank = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        for (place, _) in equal {
            if let Some(it) = ranks.get_mut(*place) {
                *it = rank;
            }
        }
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_correlation_sees_the_order_alone() {
        for (a, b, expected) in [
            (vec![1.0, 2.0, 3.0], vec![10.0, 100.0, 1000.0], 1.0),
            (vec![1.0, 2.0, 3.0], vec![3.0, 2.0, 1.0], -1.0),
            (vec![1.0, 2.0, 3.0], vec![5.0, 5.0, 5.0], 0.0),
            // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: 4.5 over the root of 4.5 times 5.
            (vec![1.0, 2.0, 2.0, 4.0], vec![1.0, 2.0, 3.0, 4.0], 4.5 / (4.5f64 * 5.0).sqrt()),
            (vec![], vec![], 0.0),
        ] {
            assert!((rank_correlation(&a, &b) - expected).abs() < 1e-9, "{a:?} {b:?}");
        }
    }
}
