//! Load, and what the autoscaler makes of it.

use crate::site::Site;

/// `load` shows how the autoscaler goes past its minimum, of two pods.
pub(crate) fn the_autoscaler_answers_load(site: &mut Site) {
    site.deployed();
    let mut load = site.start(&["load", "--format", "json", "--rps", "400", "--for", "10m"]);
    while let Some(line) = load.next() {
        // `398/s, p50 1.9 ms, p99 12.0 ms, 0 failed, 2 pods (wanted 4, CPU 140 %)`
        let pods =
            line.split(" pods (wanted ").next().and_then(|text| text.rsplit(' ').next()?.parse::<u32>().ok());
        let hot = line.rsplit("CPU ").next().and_then(|text| text.split(' ').next()?.parse::<u32>().ok());
        if pods.is_some_and(|pods| pods > 2) && hot.is_some_and(|percent| percent > 70) {
            load.interrupt();
            break;
        }
    }
    load.end().expect(0).says(&["\"answered\":", "\"replicas\":["]);
}
