//! Published weights: torchvision's names land where they belong, and a file that does not fit is refused by name.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

use std::fs;
use std::path::Path;

use burn::prelude::Device;
use burn::tensor::Tensor;
use chestlight_trainer::net::{Architecture, Block, Net, Norm};
use chestlight_trainer::weights::{WeightsError, load};
use serde_json::{Map, Value, json};

/// Every tensor of torchvision's ResNet-18, each filled with its own number.
fn resnet18() -> Vec<(String, Vec<usize>)> {
    let mut tensors = Vec::new();
    let mut conv = |name: String, norm: String, outputs: usize, inputs: usize, side: usize| {
        tensors.push((format!("{name}.weight"), vec![outputs, inputs, side, side]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("{norm}.{part}"), vec![outputs]));
        }
    };
    conv("conv1".into(), "bn1".into(), 64, 3, 7);
    let mut inputs = 64;
    for (layer, outputs) in (1..).zip([64, 128, 256, 512]) {
        for block in 0..2 {
            let at = format!("layer{layer}.{block}");
            conv(format!("{at}.conv1"), format!("{at}.bn1"), outputs, inputs, 3);
            conv(format!("{at}.conv2"), format!("{at}.bn2"), outputs, outputs, 3);
            if inputs != outputs {
                conv(format!("{at}.downsample.0"), format!("{at}.downsample.1"), outputs, inputs, 1);
            }
            inputs = outputs;
        }
    }
    tensors.push(("fc.weight".into(), vec![3, 512]));
    tensors.push(("fc.bias".into(), vec![3]));
    tensors
}

/// The format of safetensors: length of the header, header, numbers.
fn safetensors(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, mut numbers) = (Map::new(), Vec::new());
    for (name, shape) in tensors {
        let start = numbers.len();
        numbers.extend((0..shape.iter().product()).flat_map(|_| value_of(name).to_le_bytes()));
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, numbers.len()] }));
    }
    let header = Value::from(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}

/// A number for each name.
fn value_of(name: &str) -> f32 {
    name.bytes().fold(0u32, |sum, byte| (sum * 31 + u32::from(byte)) % 9973) as f32 / 64.0
}

fn fill(path: &Path, architecture: Architecture) -> Result<Net, WeightsError> {
    let net = Net::new(architecture, Norm::Frozen, 3, &Device::flex());
    load(net, architecture, path, true).map(|published| published.net)
}

fn first<const D: usize>(tensor: Tensor<D>) -> f32 {
    tensor.into_data().try_to_vec::<f32>().unwrap().into_iter().next().unwrap()
}

#[test]
fn torchvisions_names_land_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    fs::write(&path, safetensors(&resnet18())).unwrap();
    let net = fill(&path, Architecture::Resnet18).unwrap();
    let Block::Conv(stem) = &net.blocks[0] else { panic!("the stem is no convolution") };
    assert_eq!(first(stem.conv.weight.val()), value_of("conv1.weight"));
    assert_eq!(first(net.classifier.weight.val()), value_of("fc.weight"));
    assert_eq!(first(net.classifier.bias.unwrap().val()), value_of("fc.bias"));
    let blocks = net.blocks[2..].iter().zip((1..=4).flat_map(|layer| [(layer, 0), (layer, 1)]));
    for (block, (layer, number)) in blocks {
        let Block::Residual(block) = block else { panic!("layer {layer} is no residual block") };
        for (conv, inner) in block.convs.iter().zip(1..) {
            let (of_conv, of_norm) =
                (format!("layer{layer}.{number}.conv{inner}"), format!("layer{layer}.{number}.bn{inner}"));
            assert_eq!(first(conv.weight.val()), value_of(&format!("{of_conv}.weight")));
            assert_eq!(first(conv.bn.gamma.val()), value_of(&format!("{of_norm}.weight")));
            assert_eq!(first(conv.bn.beta.val()), value_of(&format!("{of_norm}.bias")));
            assert_eq!(first(conv.bn.running_mean.value_sync()), value_of(&format!("{of_norm}.running_mean")));
            assert_eq!(first(conv.bn.running_var.value_sync()), value_of(&format!("{of_norm}.running_var")));
        }
        assert_eq!(block.shortcut.is_some(), layer > 1 && number == 0);
        if let Some(shortcut) = &block.shortcut {
            assert_eq!(first(shortcut.weight.val()), value_of(&format!("layer{layer}.0.downsample.0.weight")));
            assert_eq!(first(shortcut.bn.beta.val()), value_of(&format!("layer{layer}.0.downsample.1.bias")));
        }
    }
}

#[test]
fn files_that_do_not_fill_the_network_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let whole = safetensors(&resnet18());
    let without = |name: &str| {
        let tensors: Vec<_> = resnet18().into_iter().filter(|(it, _)| it != name).collect();
        safetensors(&tensors)
    };
    let reshaped = |name: &str| {
        let tensors: Vec<_> = resnet18()
            .into_iter()
            .map(|(it, shape)| if it == name { (it, vec![64, 3, 5, 5]) } else { (it, shape) })
            .collect();
        safetensors(&tensors)
    };
    let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    for (file, bytes, architecture, told) in [
        (
            "a.safetensors",
            whole.clone(),
            Architecture::Resnet50,
            "blocks.2.convs.0.weight has the shape [64, 64, 3, 3], expected [64, 64, 1, 1]",
        ),
        ("b.safetensors", whole.clone(), Architecture::EfficientnetLite0, "missing"),
        (
            "c.safetensors",
            without("layer3.1.bn2.running_var"),
            Architecture::Resnet18,
            "blocks.7.convs.1.bn.running_var",
        ),
        ("d.safetensors", without("fc.bias"), Architecture::Resnet18, "classifier.bias is missing, and 0 more"),
        ("e.safetensors", reshaped("conv1.weight"), Architecture::Resnet18, "blocks.0.conv.weight has the shape"),
        ("f.safetensors", whole[..whole.len() / 2].to_vec(), Architecture::Resnet18, ""),
        ("g.safetensors", whole[..20].to_vec(), Architecture::Resnet18, ""),
        ("h.safetensors", huge, Architecture::Resnet18, ""),
        ("i.safetensors", Vec::new(), Architecture::Resnet18, ""),
        ("j.pth", whole[..4096].to_vec(), Architecture::Resnet18, ""),
        ("k.pth", Vec::new(), Architecture::Resnet18, ""),
        ("l.pth", b"PK\x03\x04 and no archive".to_vec(), Architecture::Resnet18, ""),
    ] {
        let path = folder.path().join(file);
        fs::write(&path, bytes).unwrap();
        let error = fill(&path, architecture).unwrap_err().to_string();
        let expected = format!("does not hold the weights of {}", architecture.name());
        assert!(error.contains(file) && error.contains(&expected) && error.contains(told), "{file}: {error}");
    }
    let absent = fill(&folder.path().join("absent.pth"), Architecture::Resnet18).unwrap_err().to_string();
    assert!(absent.contains("absent.pth"), "{absent}");
}
