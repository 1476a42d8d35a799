//! What a file computes beside the logits, in floats, from values that it has anyway: the class map and the distance.

use super::graph::{Graph, Layer};
use super::proto::{Builder, ints, number};
use crate::distance::Distance;

/// Name of the class map: the last feature map before pooling, weighted as the classifier weights the pooled features.
pub const MAP: &str = "map";
/// Name of the distance of a film from the training films.
pub const DISTANCE: &str = "distance";

/// Writes both; `read` gives the name under which the file has a node's value.
pub(super) fn write(file: &mut Builder, graph: &Graph, read: &dyn Fn(&str) -> String) {
    class_map(file, graph, read);
    if let Some(distance) = &graph.distance {
        write_distance(file, distance, &read(&distance.value));
    }
}

/// A convolution of one place with the classifier's weights, for a network whose classifier reads pooled features.
fn class_map(file: &mut Builder, graph: &Graph, read: &dyn Fn(&str) -> String) {
    let Some([pool, classifier]) = graph.nodes.last_chunk() else { return };
    let (Layer::Mean, Layer::Linear { dense }, Some(pooled)) = (&pool.layer, &classifier.layer, pool.inputs.first())
    else {
        return;
    };
    let weight = file.floats("map.weight", &[dense.shape.as_slice(), &[1, 1]].concat(), &dense.weight);
    file.node("Conv", MAP, &[read(pooled), weight], vec![ints("kernel_shape", &[1, 1])]);
    file.output(MAP, &[1, graph.classes, graph.pooled[0], graph.pooled[1]]);
}

/// The root of the mean square of the whitened channel means.
fn write_distance(file: &mut Builder, distance: &Distance, value: &str) {
    let width = distance.offset.len();
    let constants = [
        file.floats("distance.whitening", &[width, width], &distance.whitening),
        file.floats("distance.offset", &[width], &distance.offset),
    ];
    let [pool, means, whitened, squared, mean] =
        ["pool", "means", "whitened", "squared", "mean"].map(|step| format!("{DISTANCE}.{step}"));
    file.node("GlobalAveragePool", &pool, &[value.to_owned()], Vec::new());
    file.node("Flatten", &means, &[pool], vec![number("axis", 1)]);
    file.node("Gemm", &whitened, &[[means].as_slice(), &constants].concat(), vec![number("transB", 1)]);
    file.node("Mul", &squared, &[whitened.clone(), whitened], Vec::new());
    file.node("ReduceMean", &mean, &[squared], vec![ints("axes", &[1]), number("keepdims", 1)]);
    file.node("Sqrt", DISTANCE, &[mean], Vec::new());
    file.output(DISTANCE, &[1, 1]);
}
