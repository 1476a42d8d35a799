//! The model card: what a model was made from, what was measured, and what it must not be used for.

use std::collections::BTreeMap;

use chestlight::gate::Ages;
use chestlight::model::Manifest;
use chestlight::verdict::{Class, OperatingPoint};

use crate::evaluate::{ANSWERS, Evaluation};
use crate::experiment::Experiment;
use crate::finding::Finding;
use crate::split::{Part, Sample, counts};

/// What the card tells beside the manifest.
pub struct Facts<'a> {
    /// The manifest of the int8 file.
    pub manifest: &'a Manifest,
    /// All films that took part.
    pub samples: &'a [Sample],
    /// The int8 file on the test part.
    pub int8: &'a Evaluation,
    /// The int8 network's highest output for every film of the test part, as the paper counts.
    pub alone: &'a Evaluation,
    /// The same of the f32 network.
    pub f32: &'a Evaluation,
    /// What was added to the outputs, where the experiment asks for offsets.
    pub offsets: [f32; 3],
    /// Mean negative log likelihood on the validation films of the kinds that are tested, at temperature 1 and at the
    /// manifest's.
    pub likelihood: [f64; 2],
    /// Expected calibration error on the validation films of the kinds that only teach, where there are such.
    pub error_on_others: Option<f64>,
    /// What was trained on what.
    pub experiment: &'a Experiment,
    /// Name and answers of each control.
    pub controls: &'a [(String, [u32; 6])],
    /// Expected calibration error of the int8 file on the test part.
    pub expected_error: f64,
    /// Size of the int8 file, bytes.
    pub bytes: usize,
    /// The command that measures the matrix again.
    pub evaluation: &'a str,
}

/// What every model of this trainer is for, and what none of them can.
const INTENDED: &str = "\
## Intended use

Research on reading frontal chest radiographs where no reader is at hand: the model says which films look normal, like
bacterial pneumonia or like COVID-19 pneumonia, and which a doctor must look at. Research use, not a diagnosis, and no
replacement for a reader.

## Limits

One frontal film (PA or AP) of one patient at a time; no lateral film, no comparison with earlier films, nothing of the
patient but the film and, for the gate, the age. Three answers: it finds no tuberculosis, no effusion, no pneumothorax, no
fracture, no nodule and no foreign body, and a film with one of them may be called normal. Films with tubes, lines or
burnt-in marks are judged as others are, and how well has not been measured apart. What it was not made from, by age,
detector or country, has not been measured either, but for the controls below.

";

/// Films that taught or chose, by source and class.
fn sources(samples: &[Sample]) -> String {
    let mut sources: BTreeMap<&str, [u32; Finding::ALL.len()]> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.part != Part::Test) {
        let films = sources.entry(&sample.film.source).or_default();
        let of_class = films.iter_mut().zip(Finding::ALL).filter(|(_, class)| *class == sample.class);
        of_class.for_each(|(count, _)| *count += 1);
    }
    let classes = Finding::ALL.map(Finding::name).join(" | ");
    let mut text = format!("Sources of training and validation:\n\n| source | {classes} |\n|---|");
    text += &"---:|".repeat(Finding::ALL.len());
    for (source, films) in sources {
        text += &format!("\n| {source} | {} |", films.map(|count| count.to_string()).join(" | "));
    }
    text + "\n"
}

/// When the device answers, and what it refuses.
fn bounds(manifest: &Manifest) -> String {
    let mut text = String::new();
    if let Some(points) = &manifest.calibration.points {
        text += "\n## When it answers\n\nOperating points, chosen on the validation part. Below the probability the answer \
                 is *refer*; the specificity of normal is the sensitivity for pneumonia.\n\n\
                 | answer | probability needed | sensitivity | specificity |\n|---|---:|---:|---:|\n";
        for class in Class::ALL {
            let OperatingPoint { at_least, sensitivity, specificity } = points.of(class);
            let [sensitivity, specificity] = [sensitivity, specificity].map(|rate| rate * 100.0);
            text += &format!("| {} | {at_least:.3} | {sensitivity:.1}% | {specificity:.1}% |\n", class.name());
        }
    }
    if let Some(gate) = &manifest.gate {
        text += &format!(
            "\n## What it refuses\n\nFilms whose feature distance is above {:.3}, chosen on the validation part; ",
            gate.distance_at_most
        );
        text += &match gate.ages {
            Some(Ages { from, to }) => format!("patients whose age is known and not {from} to {to} years.\n"),
            None => "no age.\n".to_owned(),
        };
    }
    text
}

/// The ages of those that it was trained on, in the index's words where these are no number.
fn ages(samples: &[Sample]) -> String {
    let mut ages: BTreeMap<String, u32> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.part == Part::Train) {
        let told = sample.film.age.trim();
        let group = match told.parse::<f32>() {
            Ok(years) if years < 1.0 => "under 1".to_owned(),
            Ok(years) if years < 6.0 => "1 to 5".to_owned(),
            Ok(years) if years < 18.0 => "6 to 17".to_owned(),
            Ok(years) if years < 65.0 => "18 to 64".to_owned(),
            Ok(_) => "65 and more".to_owned(),
            Err(_) if told.is_empty() => "not known".to_owned(),
            Err(_) => told.to_owned(),
        };
        *ages.entry(group).or_default() += 1;
    }
    let mut text = "\n## Ages of the training films\n\n| years | films |\n|---|---:|\n".to_owned();
    for (group, films) in ages {
        text += &format!("| {group} | {films} |\n");
    }
    text
}

/// The card, Markdown.
pub fn card(facts: &Facts<'_>) -> String {
    let Facts {
        manifest,
        samples,
        int8,
        alone,
        f32,
        offsets,
        likelihood: [before, after],
        error_on_others,
        experiment,
        controls,
        expected_error,
        bytes,
        evaluation,
    } = facts;
    let name = &manifest.name;
    let mut card = format!(
        "# Model card: {name}\n\n\
         **Research use, not a diagnosis.** No clinic has tested this model, and no authority has approved it.\n\n\
         {}, statically quantized to 8 bits (QDQ), {:.1} MiB.\n\
         Network SHA-256 `{}`. It tells frontal chest radiographs apart as normal, bacterial pneumonia and COVID-19 \
         pneumonia, and answers *refer* when no class reaches {:.0}%.\n\n",
        experiment.architecture.name(),
        *bytes as f64 / f64::from(1 << 20),
        manifest.digest,
        manifest.calibration.refer_below * 100.0,
    );

    card += INTENDED;
    card += "## Made from\n\n| part | normal | bacterial | COVID-19 | of unknown cause, not COVID-19 |\n\
             |---|---:|---:|---:|---:|\n";
    for part in Part::ALL {
        let [normal, bacterial, covid19, _viral, not_covid19] = counts(samples, part);
        card += &format!("| {} | {normal} | {bacterial} | {covid19} | {not_covid19} |\n", part.name());
    }
    card += &format!(
        "\n{}\nPatients are never shared between parts. Index SHA-256 `{}`; trainer {}.\n\n```sh\n{}\n```\n\n",
        sources(samples),
        manifest.provenance.index_digest,
        manifest.provenance.trainer,
        manifest.provenance.command
    );

    card += &format!(
        "## Measured on the test part\n\n\
         The int8 file, read by chestlight itself with decoder, gate and operating point as on a unit:\n\n{}\n\
         - accuracy {}; *refer*, *refused* and *fault* count as wrong\n",
        int8.all.table(),
        int8.all.accuracy()
    );
    for (class, words) in ["normal", "bacterial", "COVID-19"].into_iter().enumerate() {
        card += &format!(
            "- {words}: sensitivity {}, specificity {}\n",
            int8.all.sensitivity(class),
            int8.all.specificity(class)
        );
    }
    card += &format!(
        "- of the {} films that were answered: accuracy {}\n\
         - the network alone, its highest output for every film as the paper counts, without gate and operating points: \
         accuracy {}; recall of normal {}, of bacterial {}, of COVID-19 {}\n\
         - the f32 network before quantization, alone too: accuracy {}\n\
         - expected calibration error (ten bins, films that were not refused) {:.4}\n\
         - temperature {:.3}, chosen on the validation films of the kinds that are tested: negative log likelihood there \
         {before:.4} before, {after:.4} after\n",
        int8.all.answered().all,
        int8.all.answered(),
        alone.all.accuracy(),
        alone.all.sensitivity(0),
        alone.all.sensitivity(1),
        alone.all.sensitivity(2),
        f32.all.accuracy(),
        expected_error,
        manifest.calibration.temperature
    );
    if let Some(error) = error_on_others {
        card += &format!(
            "- **the probabilities hold for films as they are tested alone:** on the validation films of the kinds that \
             only teach, the expected calibration error is {error:.4}\n"
        );
    }
    if experiment.offsets {
        let [normal, bacterial, covid19] = offsets;
        card += &format!(
            "- added to the outputs, chosen on the validation part: normal {normal:+.2}, bacterial {bacterial:+.2}, \
             COVID-19 {covid19:+.2}\n"
        );
    }
    card += &format!("\n```sh\n{evaluation}\n```\n\n| source | accuracy | refused |\n|---|---|---|\n");
    for (source, confusion) in &int8.by_source {
        card += &format!("| {source} | {} | {} |\n", confusion.accuracy(), confusion.refused());
    }
    card += &bounds(manifest);
    card += &ages(samples);

    card += &format!("\n## Confounders: what these figures do not show\n\n{}\n", experiment.limits.trim());
    if !controls.is_empty() {
        card += &format!(
            "\nControls: films of patients who are in none of the three parts, and what the int8 file answers.\n\n\
             | films | {} |\n|---|{}\n",
            ANSWERS.join(" | "),
            "---:|".repeat(ANSWERS.len())
        );
        for (name, answers) in *controls {
            card += &format!("| {name} | {} |\n", answers.map(|count| count.to_string()).join(" | "));
        }
    }
    card += "\n";

    card += "## Licences of the films\n\n| licence | films | classes |\n|---|---:|---|\n";
    let mut licences: BTreeMap<&str, [u32; Finding::ALL.len()]> = BTreeMap::new();
    for sample in *samples {
        let licence = sample.film.licence.trim();
        let films = licences.entry(if licence.is_empty() { "not stated" } else { licence }).or_default();
        films
            .iter_mut()
            .zip(Finding::ALL)
            .filter(|(_, class)| *class == sample.class)
            .for_each(|(count, _)| *count += 1);
    }
    for (licence, films) in &licences {
        let classes: Vec<String> = Finding::ALL
            .iter()
            .zip(films)
            .filter(|(_, count)| **count > 0)
            .map(|(class, count)| format!("{} {count}", class.name()))
            .collect();
        card += &format!("| {licence}{} | {} | {} |\n", remark(licence), films.iter().sum::<u32>(), classes.join(", "));
    }
    card += "\nNo film is part of this repository. To train on permissive films only, list the terms that you accept \
             under `licences` in the experiment; the selection, the split and this card follow.\n";
    card
}

/// What a user must know about terms that are not plainly permissive.
fn remark(licence: &str) -> &'static str {
    if licence.contains("NC") {
        " (**non-commercial**)"
    } else if licence.contains("not stated") || licence.contains("research use") || licence.contains("authorized") {
        " (**terms unclear**)"
    } else {
        ""
    }
}
