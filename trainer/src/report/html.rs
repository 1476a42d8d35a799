//! The page: no script, nothing from outside, readable on a phone and on paper.

use std::fmt::{Display, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::plot::{Axes, Line, lines};
use super::{Calibration, ClassFigures, External, Part, Report, WorstError};
use crate::augment::{EVEN_QUALITY, EVEN_SMOOTHING};
use crate::evaluate::{ANSWERS, Confusion, Rate};
use crate::measure::{Coverage, Interval};

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}\
table{border-collapse:collapse;margin:.5rem 0;display:block;overflow-x:auto}td,th{border:1px solid #8888;\
padding:.2rem .6rem;text-align:right}td:first-child,th:first-child{text-align:left}\
.notice,.missing{border-left:.4rem solid #d55e00;padding:.2rem .8rem;background:#d55e0018}\
.plots,.films{display:flex;flex-wrap:wrap;gap:1rem}svg,img{max-width:100%;height:auto;background:#fff}\
figure{margin:0;max-width:11rem;overflow-wrap:anywhere}figcaption,summary{font-size:.85rem}\
@media print{body{font-size:11px}details{display:none}}";

/// The page of a report.
pub fn page(report: &Report) -> String {
    let name = escaped(&report.model.name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\n<body>\
         <h1>{name}</h1>\n<p class=\"notice\"><strong>{}</strong></p>\n\
         <p class=\"notice\"><strong>The figures on the {} part are internal and confounded.</strong> {}</p>\n\
         <p>This page holds small pictures of films of the index; keep it where the films may be kept.</p>\n",
        escaped(report.notice),
        report.part,
        escaped(report.limits.trim())
    );
    internal(&mut page, report);
    controls(&mut page, report);
    gate(&mut page, report);
    probabilities(&mut page, report);
    maps(&mut page, report);
    rest(&mut page, report);
    page + "</body></html>\n"
}

/// The figures of the paper's kind.
fn internal(page: &mut String, report: &Report) {
    heading(page, &format!("{} part: internal and confounded", report.part));
    *page += &confusion(&report.confusion);
    let scores = &report.scores;
    let interval = |it: Interval| format!("{:.2}% ({:.1} to {:.1})", it.value * 100.0, it.low * 100.0, it.high * 100.0);
    *page += "<p>95% intervals by bootstrap over patients; precision, recall and F1 are means over the classes.</p>";
    *page += &table(
        &["accuracy", "precision", "recall", "F1", "milliseconds a film"],
        [vec![
            interval(scores.accuracy),
            interval(scores.precision),
            interval(scores.recall),
            interval(scores.f1),
            format!("{:.1}", report.milliseconds),
        ]],
    );
    let figures = |class: &ClassFigures| {
        let areas = match &class.curves {
            Part::Measured(curves) => [curves.auc, curves.average_precision].map(|area| format!("{area:.4}")),
            Part::Missing { missing } => [missing.clone(), missing.clone()],
        };
        let rates = [class.sensitivity, class.specificity].map(|rate| rate.to_string());
        [vec![class.class.to_owned()], rates.to_vec(), areas.to_vec()].concat()
    };
    let head = ["class", "sensitivity", "specificity", "area under ROC", "average precision"];
    *page += &table(&head, report.classes.iter().map(figures));
    let curves = |of: &dyn Fn(&crate::measure::ClassCurves) -> Vec<(f64, f64)>| -> Vec<Line<'_>> {
        let line = |class: &ClassFigures| match &class.curves {
            Part::Measured(curves) => Some(Line { name: class.class, points: of(curves) }),
            Part::Missing { .. } => None,
        };
        report.classes.iter().filter_map(line).collect()
    };
    let unit = |title, across, up, diagonal| Axes {
        title,
        across,
        up,
        x: (0.0, 1.0),
        y: (0.0, 1.0),
        diagonal,
        names_above: false,
    };
    *page += "<div class=\"plots\">";
    plot(page, &unit("ROC", "1 - specificity", "sensitivity", true), &curves(&|it| it.roc.clone()), &[]);
    let axes = unit("Precision and recall", "recall", "precision", false);
    plot(page, &axes, &curves(&|it| it.precision_recall.clone()), &[]);
    *page += "</div>";
    heading(page, "By source");
    for (source, by) in &report.by_source {
        let _ = write!(page, "<h3>{}</h3><p>accuracy {}</p>{}", escaped(source), by.accuracy(), confusion(by));
    }
}

/// What shows whether the model reads lungs.
fn controls(page: &mut String, report: &Report) {
    heading(page, "Controls: what the accuracy hides");
    part(page, "black centre and border", &report.controls, |page, controls| {
        *page += "<p>Changed films of the test part, by the highest probability. Without lungs a model that reads \
                  lungs should fall to chance.</p>";
        let row = |name: &str, rate: Rate| vec![name.to_owned(), rate.to_string()];
        *page += &table(
            &["film", "accuracy"],
            [
                row("unchanged", controls.unchanged),
                row("black centre: the inner three fifths of each side", controls.black_centre),
                row("border only: the inner four fifths of each side black", controls.border_only),
                vec!["guessing the most frequent class".into(), format!("{:.2}%", controls.chance * 100.0)],
            ],
        );
    });
    part(page, "source predictor", &report.source_predictor, |page, found| {
        let _ = write!(
            page,
            "<p>From the network's pooled features alone, the source ({}) of a film of a patient not seen before is found \
             for {}; guessing would find {:.2}%.</p>",
            escaped(&found.sources.join(", ")),
            found.accuracy,
            found.chance * 100.0
        );
    });
    part(page, "source predictor of evened films", &report.evened_source_predictor, |page, found| {
        let _ = write!(
            page,
            "<p>With every film smoothed by {EVEN_SMOOTHING} pixels and compressed at JPEG quality {EVEN_QUALITY}, it is \
             found for {}: what that takes away was sharpness and compression, what stays is something else.</p>",
            found.accuracy,
        );
    });
    heading(page, "Films from elsewhere");
    part(page, "external films", &report.external, |page, external| *page += &answers(external));
    heading(page, "Adults only");
    part(page, "adults", &report.adults, |page, adults| *page += &answers(adults));
    heading(page, "Trained without a source, tested on it alone");
    part(page, "leave one source out", &report.leave_one_out, |page, jobs| {
        let row = |job: &crate::result::JobResult| {
            let source = job.leave_out.clone().unwrap_or_default();
            let recalls = job.classes.iter().zip(&job.recalls).filter(|(_, rate)| rate.all > 0);
            let recalls: Vec<String> = recalls.map(|(class, rate)| format!("{}: {rate}", class.name())).collect();
            vec![source, format!("{:.2}%", job.scores.accuracy.value * 100.0), recalls.join("; ")]
        };
        *page += &table(&["source", "accuracy", "recall of the classes it has"], jobs.iter().map(row));
    });
    heading(page, "Stress");
    part(page, "stress", &report.stress, |page, kinds| {
        for kind in kinds {
            let row = |(change, rate): &(String, Rate)| vec![change.clone(), rate.to_string()];
            let _ = write!(page, "<h3>{}</h3>", kind.name);
            *page += &table(&["change", "accuracy"], kind.points.iter().map(row));
        }
    });
}

fn gate(page: &mut String, report: &Report) {
    heading(page, "What the gate refuses");
    part(page, "gate", &report.gate, |page, gate| {
        let row = |(name, rate): &(String, Rate)| vec![escaped(name), rate.to_string()];
        *page += &table(&["films that it should let pass", "refused"], gate.films.iter().map(row));
        *page += &table(&["what it should refuse", "refused"], gate.outliers.iter().map(row));
        let points = gate.curve.iter().map(|point| (point.films, point.outliers)).collect();
        let at: Vec<(f64, f64)> = gate
            .curve
            .iter()
            .rfind(|point| point.distance_at_most <= gate.distance_at_most)
            .map(|point| (point.films, point.outliers))
            .into_iter()
            .collect();
        let axes = Axes {
            title: "Outliers refused against films refused",
            across: "fraction of the films refused",
            up: "fraction of the outliers refused",
            x: (0.0, 0.2),
            y: (0.0, 1.0),
            diagonal: false,
            names_above: false,
        };
        plot(page, &axes, &[Line { name: "", points }], &at);
        let _ = write!(page, "<p>The ring is the model's bound, distance {:.2}.</p>", gate.distance_at_most);
    });
}

fn maps(page: &mut String, report: &Report) {
    heading(page, "Do the heat maps tell what the network uses?");
    part(page, "heat maps", &report.maps, |page, maps| {
        let _ = write!(
            page,
            "<p>Rank correlation of a film's class map with what hiding each place takes from the evidence, mean of {} \
             films: {:.3}; with the map of another film: {:.3}; the own map agrees better on {} of them.</p>\
             <p>Rank correlation of the maps before and after the network's weights lost their meaning (Adebayo et al., \
             arXiv:1810.03292); near 0 is what a map that depends on them has.</p>",
            maps.films, maps.occlusion, maps.occlusion_of_others, maps.better
        );
        let row = |(name, correlation): &(String, f64)| vec![escaped(name), format!("{correlation:.3}")];
        *page += &table(&["randomised", "correlation"], maps.randomised.iter().map(row));
    });
}

fn probabilities(page: &mut String, report: &Report) {
    heading(page, "Do the probabilities mean what they say?");
    part(page, "calibration", &report.calibration, |page, Calibration { temperature, before, after }| {
        let _ = write!(
            page,
            "<p>Expected calibration error {:.4} at temperature 1, {:.4} at the model's {temperature:.3}.</p>",
            before.expected_error, after.expected_error
        );
        let filled = || after.bins.iter().filter(|bin| bin.films > 0);
        let points = filled().map(|bin| (bin.confidence, bin.accuracy)).collect();
        let axes = Axes {
            title: "Reliability",
            across: "probability of the answer",
            up: "fraction right",
            x: (0.0, 1.0),
            y: (0.0, 1.0),
            diagonal: true,
            names_above: false,
        };
        plot(page, &axes, &[Line { name: "after scaling", points }], &[]);
        let row = |bin: &crate::measure::Bin| {
            vec![format!("{:.3}", bin.confidence), format!("{:.3}", bin.accuracy), bin.films.to_string()]
        };
        details(page, &table(&["probability", "fraction right", "films"], filled().map(row)));
    });
    heading(page, "What abstaining gains");
    part(page, "coverage", &report.coverage, |page, points| {
        let line = points.iter().map(|point| (point.coverage, point.error)).collect();
        let at = points.iter().rfind(|point| point.refer_below >= f64::from(report.refer_below));
        let highest = points.iter().map(|point| point.error).fold(0.01, f64::max);
        let axes = Axes {
            title: "Error against coverage",
            across: "fraction answered",
            up: "fraction of the answers wrong",
            x: (0.0, 1.0),
            y: (0.0, highest * 1.1),
            diagonal: false,
            names_above: false,
        };
        plot(
            page,
            &axes,
            &[Line { name: "", points: line }],
            &at.map(|it| (it.coverage, it.error)).into_iter().collect::<Vec<_>>(),
        );
        if let Some(Coverage { coverage, error, .. }) = at {
            let _ = write!(
                page,
                "<p>At the operating point (ring; <em>refer</em> below {}) {:.1}% of the films are answered and {:.2}% of \
                 the answers are wrong.</p>",
                report.refer_below,
                coverage * 100.0,
                error * 100.0
            );
        }
        if let Some(points) = &report.operating_points {
            let row = |class: chestlight::verdict::Class| {
                let point = points.of(class);
                let rates = [point.sensitivity, point.specificity].map(|rate| format!("{:.1}%", rate * 100.0));
                [vec![class.name().to_owned(), format!("{:.3}", point.at_least)], rates.to_vec()].concat()
            };
            *page += "<p>Operating points, chosen on the validation part; the specificity of normal is the sensitivity \
                      for pneumonia.</p>";
            let head = ["class", "probability needed", "sensitivity", "specificity"];
            *page += &table(&head, chestlight::verdict::Class::ALL.map(row));
        }
    });
}

fn rest(page: &mut String, report: &Report) {
    heading(page, "Learning curve");
    part(page, "training", &report.training, |page, epochs| {
        let losses = |of: &dyn Fn(&crate::fit::Epoch) -> f64| -> Vec<(f64, f64)> {
            epochs.iter().enumerate().map(|(epoch, it)| (epoch as f64 + 1.0, of(it))).collect()
        };
        let (train, validation) = (losses(&|it| it.train_loss), losses(&|it| it.validation_loss));
        let highest = train.iter().chain(&validation).map(|(_, loss)| *loss).fold(0.01, f64::max);
        let axes = Axes {
            title: "Loss over the epochs of all stages",
            across: "epoch",
            up: "loss",
            x: (1.0, epochs.len().max(2) as f64),
            y: (0.0, highest * 1.1),
            diagonal: false,
            names_above: true,
        };
        let both = [Line { name: "training", points: train }, Line { name: "validation", points: validation }];
        plot(page, &axes, &both, &[]);
        let row = |it: &crate::fit::Epoch| {
            let numbers =
                [it.train_loss, it.validation_loss, it.validation_accuracy].map(|value| format!("{value:.4}"));
            [vec![escaped(&it.stage), it.epoch.to_string()], numbers.to_vec()].concat()
        };
        let head = ["stage", "epoch", "training loss", "validation loss", "validation accuracy"];
        details(page, &table(&head, epochs.iter().map(row)));
    });
    heading(page, "The surest wrong answers");
    part(page, "wrong answers", &report.worst_errors, |page, films| {
        *page += "<div class=\"films\">";
        films.iter().for_each(|film| *page += &figure(film));
        *page += "</div>";
    });
    heading(page, "Licences of the films of the index that were read");
    let row = |(licence, films): (&String, &u32)| vec![escaped(licence), films.to_string()];
    *page += &table(&["licence", "films"], report.licences.iter().map(row));
    let _ = write!(
        page,
        "<h2>Again</h2><pre>{}</pre><p>Network SHA-256 <code>{}</code><br>index SHA-256 <code>{}</code></p>",
        escaped(&report.command),
        report.model.digest,
        report.index
    );
}

fn figure(film: &WorstError) -> String {
    let picture = BASE64_STANDARD.encode(&film.thumbnail);
    let told =
        format!("{}: is {}, answered {} ({:.3})", escaped(&film.file), film.truth, film.answer, film.probability);
    format!(
        "<figure><img src=\"data:image/jpeg;base64,{picture}\" alt=\"{told}\"><figcaption>{told}</figcaption></figure>"
    )
}

fn heading(page: &mut String, text: &str) {
    let _ = write!(page, "\n<h2>{}</h2>\n", escaped(text));
}

/// A part, or that it is missing and why.
fn part<T>(page: &mut String, name: &str, part: &Part<T>, show: impl FnOnce(&mut String, &T)) {
    match part {
        Part::Measured(it) => show(page, it),
        Part::Missing { missing } => {
            let _ = write!(page, "<p class=\"missing\">Missing: {name}. {}</p>", escaped(missing));
        }
    }
}

fn plot(page: &mut String, axes: &Axes<'_>, drawn: &[Line<'_>], marks: &[(f64, f64)]) {
    match lines(axes, drawn, marks) {
        Some(svg) => *page += &svg,
        None => {
            let _ = write!(page, "<p class=\"missing\">Missing: the plot {}; it could not be drawn.</p>", axes.title);
        }
    }
}

fn details(page: &mut String, table: &str) {
    let _ = write!(page, "<details><summary>numbers</summary>{table}</details>");
}

fn confusion(confusion: &Confusion) -> String {
    let head = [["film is \\ answer is"].as_slice(), &ANSWERS].concat();
    let classes = chestlight::verdict::Class::ALL.iter().zip(confusion.counts);
    table(
        &head,
        classes
            .map(|(class, row)| [vec![class.name().to_owned()], row.map(|count| count.to_string()).to_vec()].concat()),
    )
}

fn answers(external: &[External]) -> String {
    let head = [["films"].as_slice(), &ANSWERS, &["called COVID-19"]].concat();
    table(
        &head,
        external.iter().map(|it| {
            let counts = it.answers.map(|count| count.to_string()).to_vec();
            [vec![escaped(&it.name)], counts, vec![it.called_covid19.to_string()]].concat()
        }),
    )
}

/// Cells are HTML already.
fn table<C: Display>(head: &[&str], rows: impl IntoIterator<Item = Vec<C>>) -> String {
    let mut table = String::from("<table><tr>");
    head.iter().for_each(|cell| table += &format!("<th>{cell}</th>"));
    table += "</tr>";
    for row in rows {
        table += "<tr>";
        row.iter().for_each(|cell| table += &format!("<td>{cell}</td>"));
        table += "</tr>";
    }
    table + "</table>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::measure::{calibrated, coverage, curves, scores};
    use crate::report::{Controls, ModelName};

    fn report() -> Report {
        let answered = [([0.9, 0.1, 0.0], 0), ([0.2, 0.8, 0.0], 1), ([0.3, 0.6, 0.1], 2)];
        let class = |name, class: usize| {
            let films: Vec<(f32, bool)> = answered.iter().map(|(p, truth)| (p[class], *truth == class)).collect();
            let rate = Rate::new(1, 2);
            let curves = Part::Measured(curves(&films).unwrap());
            ClassFigures { class: name, sensitivity: rate, specificity: rate, curves }
        };
        let rate = Rate::new(2, 3);
        Report {
            schema: 1,
            notice: "Research use, not a diagnosis.",
            model: ModelName { name: "m<1>".into(), digest: "d".repeat(64) },
            index: "i".repeat(64),
            part: "test",
            limits: "Children & adults.".into(),
            answers: ANSWERS,
            confusion: Confusion::default(),
            accuracy: rate,
            by_source: BTreeMap::from([("here".into(), Confusion::default())]),
            scores: scores(&[]),
            milliseconds: 1.0,
            classes: vec![class("normal", 0), class("bacterial", 1), class("covid19", 2)],
            calibration: Part::Measured(Calibration {
                temperature: 1.5,
                before: calibrated(&answered),
                after: calibrated(&answered),
            }),
            coverage: Part::Measured(coverage(&answered)),
            refer_below: 0.7,
            operating_points: None,
            gate: Part::missing("no outlier"),
            maps: Part::missing("no map"),
            controls: Part::Measured(Controls { unchanged: rate, black_centre: rate, border_only: rate, chance: 0.4 }),
            source_predictor: Part::missing("one source alone"),
            evened_source_predictor: Part::missing("one source alone"),
            external: Part::missing("none asked for"),
            adults: Part::missing("no ages"),
            leave_one_out: Part::missing("not given"),
            stress: Part::missing("not now"),
            training: Part::missing("no run"),
            licences: BTreeMap::from([("CC0".into(), 3)]),
            worst_errors: Part::Measured(vec![WorstError {
                file: "a\"b.jpg".into(),
                truth: "covid19",
                answer: "bacterial",
                probability: 0.6,
                thumbnail: vec![1, 2, 3],
            }]),
            command: "evaluate".into(),
        }
    }

    #[test]
    fn the_page_stands_alone_escapes_what_it_is_given_and_hides_nothing() {
        let page = page(&report());
        for told in [
            "Research use, not a diagnosis.",
            "internal and confounded",
            "m&lt;1&gt;",
            "Children &amp; adults.",
            "a&quot;b.jpg",
            "data:image/jpeg;base64,AQID",
            "role=\"img\" aria-label=\"ROC\"",
            "role=\"img\" aria-label=\"Reliability\"",
            "Missing: source predictor. one source alone",
            "Missing: external films. none asked for",
            "Missing: adults. no ages",
            "Missing: leave one source out. not given",
            "Missing: stress. not now",
            "Missing: training. no run",
            "black centre",
        ] {
            assert!(page.contains(told), "{told}\n{page}");
        }
        for never in ["<script", "src=\"http", "href=", "@import", "m<1>"] {
            assert!(!page.contains(never), "{never}");
        }
        assert_eq!(page.matches("<svg ").count(), 4, "ROC, precision, reliability, coverage");
    }

    #[test]
    fn the_json_names_what_is_missing_and_holds_no_picture() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["adults"]["missing"], "no ages");
        assert_eq!(json["controls"]["black_centre"]["of"], 2);
        assert!(json["worst_errors"][0].get("thumbnail").is_none());
    }
}
