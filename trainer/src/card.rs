//! The model card: what a model was made from, what was measured, and what it must not be used for.

use std::collections::BTreeMap;

use chestlight::model::Manifest;

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
    /// The f32 file on the test part.
    pub f32: &'a Evaluation,
    /// What was added to the outputs, where the experiment asks for offsets.
    pub offsets: [f32; 3],
    /// Mean negative log likelihood on the validation part at temperature 1, and at the manifest's.
    pub likelihood: [f64; 2],
    /// What was trained on what.
    pub experiment: &'a Experiment,
    /// Name and answers of each control.
    pub controls: &'a [(String, [u32; 6])],
    /// Size of the int8 file, bytes.
    pub bytes: usize,
    /// The command that measures the matrix again.
    pub evaluation: &'a str,
}

/// The card, Markdown.
pub fn card(facts: &Facts<'_>) -> String {
    let Facts {
        manifest,
        samples,
        int8,
        f32,
        offsets,
        likelihood: [before, after],
        experiment,
        controls,
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

    card += "## Made from\n\n| part | normal | bacterial | COVID-19 | of unknown cause, not COVID-19 |\n\
             |---|---:|---:|---:|---:|\n";
    for part in Part::ALL {
        let [normal, bacterial, covid19, _viral, not_covid19] = counts(samples, part);
        card += &format!("| {} | {normal} | {bacterial} | {covid19} | {not_covid19} |\n", part.name());
    }
    card += &format!(
        "\nPatients are never shared between parts. Index SHA-256 `{}`; trainer {}.\n\n```sh\n{}\n```\n\n",
        manifest.provenance.index_digest, manifest.provenance.trainer, manifest.provenance.command
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
        "- the f32 network before quantization: accuracy {}\n\
         - temperature {:.3}, chosen on the validation part: negative log likelihood there {before:.4} before, \
         {after:.4} after\n",
        f32.all.accuracy(),
        manifest.calibration.temperature
    );
    if experiment.offsets {
        let [normal, bacterial, covid19] = offsets;
        card += &format!(
            "- added to the outputs, chosen on the validation part: normal {normal:+.2}, bacterial {bacterial:+.2}, \
             COVID-19 {covid19:+.2}\n"
        );
    }
    card += &format!("\n```sh\n{evaluation}\n```\n\n| source | accuracy |\n|---|---|\n");
    for (source, confusion) in &int8.by_source {
        card += &format!("| {source} | {} |\n", confusion.accuracy());
    }

    card += &format!("\n## What these figures do not show\n\n{}\n", experiment.limits.trim());
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
