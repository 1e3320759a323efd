//! Owns metrics that are read at the scrape rather than kept: a name, a help text and a function. Knows none by name.

use prometheus::{
    core::{Collector, Desc},
    proto,
};

/// Whether a reading may go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One value that is read at each scrape.
pub struct Reading {
    /// The metric's name.
    pub name: &'static str,
    /// The metric's help text.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// Constant labels.
    pub labels: Vec<(&'static str, String)>,
    /// Reads the value; must not block.
    pub read: Box<dyn Fn() -> f64 + Send + Sync>,
}

pub(super) struct Readings {
    readings: Vec<Reading>,
    descriptions: Vec<Desc>,
}

impl Readings {
    pub(super) fn new(readings: Vec<Reading>) -> Self {
        let descriptions = readings
            .iter()
            .map(|reading| {
                let labels =
                    reading.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                Desc::new(reading.name.to_owned(), reading.help.to_owned(), Vec::new(), labels)
                    .expect("a valid name and help")
            })
            .collect();
        Self { readings, descriptions }
    }
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        self.readings.iter().map(family).collect()
    }
}

fn family(reading: &Reading) -> proto::MetricFamily {
    let mut metric = proto::Metric::default();
    let labels = reading.labels.iter().map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    metric.set_label(labels.collect());
    let mut family = proto::MetricFamily::default();
    family.set_name(reading.name.to_owned());
    family.set_help(reading.help.to_owned());
    match reading.kind {
        Kind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value((reading.read)());
            metric.set_counter(counter);
            family.set_field_type(proto::MetricType::COUNTER);
        }
        Kind::Gauge => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value((reading.read)());
            metric.set_gauge(gauge);
            family.set_field_type(proto::MetricType::GAUGE);
        }
    }
    family.set_metric(vec![metric]);
    family
}
