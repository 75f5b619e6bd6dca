//! The process metrics of Prometheus' own clients, under the names that dashboards expect: processor time,
//! memory, file descriptors and the start time.
//!
//! Relies on Linux' `/proc`. Values that can't be read there are left out.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

/// Ticks per second in `/proc/<pid>/stat`: `USER_HZ`, which Linux keeps at 100 for programs on the
/// architectures that Sluice is built for (proc(5), time(7)).
const TICKS: f64 = 100.0;

/// The metrics of this process; their names have no prefix.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

#[derive(Debug)]
struct Process;

/// The values read from `/proc`.
#[derive(Debug, Default, PartialEq)]
struct Read {
    cpu_seconds: Option<f64>,
    started: Option<f64>,
    resident: Option<u64>,
    virtual_memory: Option<u64>,
    open_files: Option<u64>,
    most_files: Option<u64>,
}

impl Read {
    fn now() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        Self {
            open_files: files.and_then(|count| u64::try_from(count).ok()),
            ..Self::of(
                &text("/proc/self/stat"),
                &text("/proc/self/status"),
                &text("/proc/self/limits"),
                &text("/proc/stat"),
            )
        }
    }

    /// The values in the contents of these files.
    fn of(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The second field is the program's name in brackets, which may hold anything; the third follows.
        let fields: Vec<&str> = match stat.rsplit_once(')') {
            Some((_, rest)) => rest.split_whitespace().collect(),
            None => Vec::new(),
        };
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        let boot = system.lines().find_map(|line| line.strip_prefix("btime "));
        let boot = boot.and_then(|seconds| seconds.trim().parse::<f64>().ok());
        let most = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        Self {
            cpu_seconds: ticks(14)
                .zip(ticks(15))
                .map(|(user, system)| (user + system) / TICKS),
            started: boot
                .zip(ticks(22))
                .map(|(boot, since)| boot + since / TICKS),
            resident: kib("VmRSS:"),
            virtual_memory: kib("VmSize:"),
            open_files: None,
            most_files: most.and_then(|line| line.split_whitespace().next()?.parse().ok()),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = Read::now();
        if let Some(seconds) = read.cpu_seconds {
            let help = "User and system processor time of the process";
            let (unit, kind) = (Some(&Unit::Seconds), MetricType::Counter);
            let descriptor = encoder.encode_descriptor("process_cpu", help, unit, kind)?;
            ConstCounter::new(seconds).encode(descriptor)?;
        }
        if let Some(seconds) = read.started {
            let help = "Start time of the process since the Unix epoch";
            let (unit, kind) = (Some(&Unit::Seconds), MetricType::Gauge);
            let descriptor = encoder.encode_descriptor("process_start_time", help, unit, kind)?;
            ConstGauge::new(seconds).encode(descriptor)?;
        }
        let bytes = Some(&Unit::Bytes);
        for (name, help, unit, value) in [
            (
                "process_resident_memory",
                "Resident memory",
                bytes,
                read.resident,
            ),
            (
                "process_virtual_memory",
                "Virtual memory",
                bytes,
                read.virtual_memory,
            ),
            (
                "process_open_fds",
                "Open file descriptors",
                None,
                read.open_files,
            ),
            (
                "process_max_fds",
                "Limit of open file descriptors",
                None,
                read.most_files,
            ),
        ] {
            if let Some(value) = value {
                let descriptor = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
                ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(descriptor)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_proc_files_are_parsed() {
        let stat =
            "4711 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 5 0 12345 999 100";
        let status = "Name:\tsluice\nVmSize:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        let limits = "Max open files            1024                 4096                 files\n";
        let read = Read::of(stat, status, limits, "cpu 1 2\nbtime 1000\n");
        let expected = Read {
            cpu_seconds: Some(3.0),
            started: Some(1000.0 + 123.45),
            resident: Some(1024 * 1024),
            virtual_memory: Some(2048 * 1024),
            open_files: None,
            most_files: Some(1024),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn unreadable_process_values_are_left_out() {
        assert_eq!(Read::of("", "", "", ""), Read::default());
        assert_eq!(
            Read::of("1 (a) S", "VmRSS: ?", "", "btime x"),
            Read::default()
        );
    }
}
