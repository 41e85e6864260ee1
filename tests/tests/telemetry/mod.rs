//! A shop whose daemon tells of its work.

pub(crate) mod metrics;
pub(crate) mod observe;
pub(crate) mod records;
pub(crate) mod top;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use enforcer_tests::{DaemonOptions, Namespace, Workload, World, documents, policy};

/// Where the daemon serves metrics, in the namespace of the world's host.
pub(crate) const METRICS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9_469);
pub(crate) const ALLOWED: u16 = 8_125;
pub(crate) const FORBIDDEN: u16 = 8_126;
/// What has to come may take this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Web may send to db's one port, and to no other.
pub(crate) fn shop(world: &mut World, settings: &[(&str, &str)]) -> (Workload, Workload) {
    let (web, db) = (world.workload("web", 10), world.workload("db", 20));
    let rule = policy("shop", "", &[&format!("web -> db udp/{ALLOWED}")]);
    let mut options = DaemonOptions::with_policy(&documents(&[&web, &db], &[rule]));
    options.settings.push(("metrics".to_owned(), METRICS.to_string().into()));
    for (name, text) in settings {
        options.settings.push(((*name).to_owned(), serde_yaml::from_str(text).unwrap()));
    }
    world.start_daemon(options).unwrap();
    (web, db)
}

/// Sends this many datagrams of 100 bytes to a socket that takes them.
pub(crate) fn send(from: &Workload, to: &Workload, port: u16, count: u64) -> Duration {
    let _taker = to.enter(|| UdpSocket::bind((to.v4(), port))).unwrap();
    let socket = from.enter(|| UdpSocket::bind((from.v4(), 0))).unwrap();
    socket.connect((to.v4(), port)).unwrap();
    let start = Instant::now();
    for _ in 0..count {
        socket.send(&[0; 100]).unwrap();
    }
    start.elapsed()
}

/// What a scraper gets.
pub(crate) fn scrape(host: &Namespace) -> String {
    let ask = || {
        let mut stream = TcpStream::connect(METRICS)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    };
    let text: String = host.enter(ask).unwrap();
    let (head, page) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    page.to_owned()
}

/// The sum of the series whose name and labels begin like this and contain all of `with`.
pub(crate) fn sum(page: &str, name: &str, with: &[&str]) -> u64 {
    let series = page.lines().filter_map(|line| line.rsplit_once(' '));
    let wanted = series.filter(|(series, _)| {
        series.split('{').next() == Some(name) && with.iter().all(|label| series.contains(label))
    });
    wanted.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

/// The first page that `holds`.
pub(crate) fn scraped_when(host: &Namespace, what: &str, holds: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = scrape(host);
        if holds(&page) {
            return page;
        }
        assert!(Instant::now() < deadline, "no page with {what}:\n{page}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
