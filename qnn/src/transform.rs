//! The rewriting of a graph: what was recognised in integers, everything else as it was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::quant::DequantizeLinearF32;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_core::transform::ModelTransform;
use tract_onnx::tract_hir::internal::*;

use crate::front::{DequantizeWeights, values};
use crate::kernel::Kernel;
use crate::layer::{Add, Concat, Conv, Ends, Enter, Integers, Layer, Leave, MaxPool, Mean, Reason, Window};
use crate::op::{EnterInt8, Int8Layer, LeaveInt8};
use crate::recognise::{Kind, Looking, Match, Weights, map, quantize, steps};
use crate::report::{Left, Report, Taken};
use crate::rounding::Bounds;
use crate::shelf::Shelf;
use crate::team::Team;

/// Turns what it recognises of a quantized network into integer layers.
///
/// It works on what [`onnx`](crate::onnx) reads and `into_typed` makes of it, **before** `declutter` or
/// `into_optimized`, which both rewrite the pattern that it looks for.
#[derive(Clone, Debug)]
pub struct Int8 {
    kernel: Kernel,
    team: Team,
}

impl Default for Int8 {
    /// The fastest kernel of this processor, on the calling thread.
    fn default() -> Self {
        Self { kernel: Kernel::best(), team: Team::default() }
    }
}

impl Int8 {
    /// The same with another kernel.
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    /// The same on several threads.
    pub fn with_team(self, team: Team) -> Self {
        Self { team, ..self }
    }

    /// The network with integer layers, and what became of each node.
    ///
    /// # Errors
    /// When tract finds the graph broken; a graph without anything to recognise comes back as it is.
    pub fn apply(&self, model: &TypedModel) -> TractResult<(TypedModel, Report)> {
        let order = model.eval_order()?;
        let found = Found::of(model, &order);
        let wanted = Wanted::of(model, &order, &found)?;
        let mut writing = Writing {
            int8: self,
            source: model,
            target: TypedModel::default(),
            plain: HashMap::new(),
            bytes: HashMap::new(),
            shelf: Shelf::default(),
        };
        writing.target.symbols = model.symbols.clone();
        writing.target.properties = model.properties.clone();
        let mut report = Report { layers: Vec::new(), left: found.left.clone() };
        for id in order {
            let node = model.node(id);
            writing.node(node, &found, &wanted, &mut report).with_context(|| format!("rewriting {node}"))?;
        }
        let outputs =
            model.output_outlets()?.iter().map(|outlet| writing.plain(*outlet)).collect::<TractResult<Vec<_>>>()?;
        writing.target.select_output_outlets(&outputs)?;
        for (old, new) in model.output_outlets()?.iter().zip(&outputs) {
            if let Some(label) = model.outlet_label(*old) {
                writing.target.set_outlet_label(*new, label.to_owned())?;
            }
        }
        Ok((writing.target, report))
    }
}

impl ModelTransform for Int8 {
    fn name(&self) -> StaticName {
        "int8".into()
    }

    fn transform(&self, model: &mut TypedModel) -> TractResult<()> {
        *model = self.apply(model)?.0;
        Ok(())
    }
}

/// The layers that can be integers, by the `QuantizeLinear` that ends them.
struct Found {
    layers: HashMap<usize, (Match, Arc<Layer>)>,
    left: Vec<Left>,
}

impl Found {
    fn of(model: &TypedModel, order: &[usize]) -> Self {
        let mut found = Self { layers: HashMap::new(), left: Vec::new() };
        // Nodes with bytes somewhere before them: a `QuantizeLinear` among them should have been taken.
        let mut fed: HashSet<usize> = HashSet::new();
        for node in order.iter().map(|id| model.node(*id)) {
            if node.op_is::<DequantizeLinearF32>() || node.inputs.iter().any(|input| fed.contains(&input.node)) {
                fed.insert(node.id);
            }
            if quantize(node).is_none() {
                continue;
            }
            let layer = Looking(model).back(node).and_then(|found| Ok((Arc::new(layer(model, node, &found)?), found)));
            match layer {
                Ok((layer, of)) => {
                    found.layers.insert(node.id, (of, layer));
                }
                Err(reason) if fed.contains(&node.id) => {
                    let before = node.inputs.first().map_or(node, |input| model.node(input.node));
                    let (name, op) = (before.name.clone(), before.op.name().into_owned());
                    found.left.push(Left { name, op, reason: reason.into_owned() });
                }
                // The first of all: numbers become bytes here.
                Err(_) => {}
            }
        }
        found
    }
}

/// The layer of what was found.
fn layer(model: &TypedModel, node: &TypedNode, found: &Match) -> Result<Layer, Reason> {
    let fact = |outlet| model.outlet_fact(outlet).map_err(|error| Reason::from(error.to_string()));
    let (batch, output) = map(fact(node.id.into())?)?;
    let inputs = found.inputs.iter().map(|(outlet, steps)| Ok((map(fact(*outlet)?)?, *steps)));
    let inputs = inputs.collect::<Result<Vec<_>, Reason>>()?;
    if inputs.iter().any(|((other, _), _)| *other != batch) {
        return Err("it mixes the images of a batch".into());
    }
    let inputs: Vec<_> = inputs.into_iter().map(|((_, map), steps)| (map, steps)).collect();
    let [first, ..] = inputs.as_slice() else { return Err("it reads nothing".into()) };
    let (to, clip) = (found.output, found.clip);
    let ends = Ends { input: *first, output: (output, to), clip };
    let made = match &found.kind {
        Kind::Conv { weights, window, depthwise: true } => {
            integers(weights, |all| Conv::depthwise(&ends, *window, all))?
        }
        Kind::Conv { weights, window, .. } => integers(weights, |all| Conv::dense(&ends, *window, all))?,
        Kind::Linear { weights } => integers(weights, |all| Conv::dense(&ends, Window::POINT, all))?,
        Kind::Add => {
            let [(_, one), (_, other)] = inputs.as_slice() else { return Err("it adds other than two maps".into()) };
            Layer::Add(Add::new(output, [*one, *other], to, clip))
        }
        Kind::MaxPool { window } => Layer::MaxPool(MaxPool::new(first.0, output, *window, to.zero_point)),
        Kind::Mean => Layer::Mean(Mean::new(first.0, first.1, to, clip)?),
        Kind::Concat => Layer::Concat(Concat::new(&inputs, to, clip)),
    };
    if made.output() == output { Ok(made) } else { Err("its output has another size than its inputs tell".into()) }
}

fn integers(weights: &Weights, layer: impl FnOnce(&Integers<'_>) -> Result<Conv, Reason>) -> Result<Layer, Reason> {
    let reason = |error: TractError| Reason::from(error.to_string());
    layer(&Integers {
        weights: values(&weights.bytes).map_err(reason)?,
        scales: values(&weights.scales).map_err(reason)?,
        bias: values(&weights.bias).map_err(reason)?,
    })
    .map(Layer::Conv)
}

/// In which form each value is read.
#[derive(Default)]
struct Wanted {
    /// As the graph has it.
    plain: HashSet<OutletId>,
    /// The results of `QuantizeLinear` that integer layers read.
    bytes: HashSet<OutletId>,
}

impl Wanted {
    fn of(model: &TypedModel, order: &[usize], found: &Found) -> TractResult<Self> {
        let mut wanted = Self { plain: model.output_outlets()?.iter().copied().collect(), ..Self::default() };
        for node in order.iter().rev().map(|id| model.node(*id)) {
            let outlet = OutletId::from(node.id);
            let plain = (0..node.outputs.len()).any(|slot| wanted.plain.contains(&OutletId::new(node.id, slot)));
            let bytes = wanted.bytes.contains(&outlet);
            match found.layers.get(&node.id) {
                // Bytes of a layer in the network's own layout are for someone we do not know: it computes them again
                // as the graph says.
                Some((of, _)) if bytes => wanted.bytes.extend(of.inputs.iter().map(|(outlet, _)| *outlet)),
                None if bytes => wanted.plain.extend(&node.inputs),
                _ => {}
            }
            match node.inputs.as_slice() {
                [input] if plain && leaves(node, found) => {
                    wanted.bytes.insert(*input);
                }
                inputs if plain => wanted.plain.extend(inputs),
                _ => {}
            }
        }
        Ok(wanted)
    }
}

/// Whether a node turns the bytes of an integer layer into numbers.
fn leaves(node: &TypedNode, found: &Found) -> bool {
    let [input] = node.inputs.as_slice() else { return false };
    node.op_is::<DequantizeLinearF32>() && found.layers.contains_key(&input.node)
}

struct Writing<'m> {
    int8: &'m Int8,
    source: &'m TypedModel,
    target: TypedModel,
    plain: HashMap<OutletId, OutletId>,
    bytes: HashMap<OutletId, OutletId>,
    shelf: Shelf,
}

impl Writing<'_> {
    fn plain(&self, outlet: OutletId) -> TractResult<OutletId> {
        self.plain.get(&outlet).copied().with_context(|| format!("{outlet:?} was not written"))
    }

    fn bytes(&self, outlet: OutletId) -> TractResult<OutletId> {
        self.bytes.get(&outlet).copied().with_context(|| format!("the bytes of {outlet:?} were not written"))
    }

    fn node(&mut self, node: &TypedNode, found: &Found, wanted: &Wanted, report: &mut Report) -> TractResult<()> {
        let outlet = OutletId::from(node.id);
        if wanted.bytes.contains(&outlet) {
            let new = match found.layers.get(&node.id) {
                Some((of, layer)) => {
                    let core = self.source.node(of.core);
                    report.layers.push(Taken { name: core.name.clone(), layer: layer.name() });
                    let inputs =
                        of.inputs.iter().map(|(outlet, _)| self.bytes(*outlet)).collect::<TractResult<TVec<_>>>()?;
                    let Int8 { kernel, team } = self.int8.clone();
                    self.wire(
                        &core.name,
                        Int8Layer { layer: layer.clone(), kernel, team, shelf: self.shelf.clone() },
                        &inputs,
                    )?
                }
                None => self.enter(node)?,
            };
            self.bytes.insert(outlet, new);
        }
        let outlets = (0..node.outputs.len()).map(|slot| OutletId::new(node.id, slot));
        if node.op_is::<TypedSource>() || outlets.clone().any(|outlet| wanted.plain.contains(&outlet)) {
            let new = if leaves(node, found) { tvec!(self.leave(node)?) } else { self.copy(node)? };
            self.plain.extend(outlets.zip(new));
        }
        Ok(())
    }

    fn enter(&mut self, node: &TypedNode) -> TractResult<OutletId> {
        let op = quantize(node).context("bytes that nothing quantizes")?;
        let (_, map) = map(self.source.outlet_fact(node.id.into())?).map_err(TractError::msg)?;
        let bounds = Bounds::of(steps(op), f64::NEG_INFINITY, f64::INFINITY);
        let enter = EnterInt8 {
            enter: Enter { map, per_step: op.scale, bounds },
            kernel: self.int8.kernel,
            shelf: self.shelf.clone(),
        };
        let input = self.plain(*node.inputs.first().context("no input")?)?;
        self.wire(&format!("{}.enter", node.name), enter, &[input])
    }

    fn leave(&mut self, node: &TypedNode) -> TractResult<OutletId> {
        let op = node.op_as::<DequantizeLinearF32>().context("not a DequantizeLinear")?;
        let bytes = *node.inputs.first().context("no input")?;
        let fact = self.source.outlet_fact(bytes)?;
        let (_, map) = map(fact).map_err(TractError::msg)?;
        let shape = fact.shape.as_concrete().context("no known shape")?.into();
        let leave = Leave { map, scale: op.scale, zero_point: u8::try_from(op.zero_point)? };
        let input = self.bytes(bytes)?;
        self.wire(&node.name, LeaveInt8 { leave, shape }, &[input])
    }

    /// The node as it is; constants that were kept as bytes for us become numbers after all.
    fn copy(&mut self, node: &TypedNode) -> TractResult<TVec<OutletId>> {
        if let Some(dequantize) = node.op_as::<DequantizeWeights>() {
            let konst = node.inputs.first().and_then(|input| self.source.outlet_fact(*input).ok()?.konst.clone());
            let konst = konst.context("weights that are no constant")?;
            let folded = dequantize.fold(&konst)?;
            return Ok(tvec!(self.target.add_const(&node.name, folded)?));
        }
        let inputs = node.inputs.iter().map(|input| self.plain(*input)).collect::<TractResult<TVec<_>>>()?;
        if let Some(source) = node.op_as::<TypedSource>() {
            return Ok(tvec!(self.target.add_source(&node.name, source.fact.clone())?));
        }
        if let Some(konst) = node.op_as::<Const>() {
            return Ok(tvec!(self.target.add_const(&node.name, konst.val().clone())?));
        }
        self.target.wire_node(&node.name, node.op.clone(), &inputs)
    }

    fn wire(&mut self, name: &str, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        let name = self.target.unique_name(name.to_owned()).into_owned();
        let outlets = self.target.wire_node(name, op, inputs)?;
        outlets.first().copied().context("an operator without a result")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Steps;

    #[test]
    fn steps_know_their_scale_from_tracts_inverse() {
        let op = tract_onnx::tract_core::ops::quant::QuantizeLinearU8 { scale: 0.1f32.recip(), zero_point: 3 };
        let Steps { scale, zero_point } = steps(&op);
        assert!((scale / f64::from(0.1f32) - 1.0).abs() < 1e-7 && zero_point == 3);
    }
}
