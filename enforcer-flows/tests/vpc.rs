//! VPC flow logs, in the formats that AWS documents.

mod seen;

use enforcer_flows::{Format, Options, Packing, ReadError};
use seen::{seen, seen_by};

#[test]
fn the_default_format_needs_no_header() {
    let log = "\
2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK
2 123456789010 eni-1235b8ca123456789 2001:db8:1234:a100:8d6e:3477:df66:f105 2001:db8:1234:a102:3304:8879:34cf:4071 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 203.0.113.12 172.31.16.139 0 0 1 4 336 1432917027 1432917142 ACCEPT OK
2 123456789010 eni-1235b8ca123456789 172.31.16.21 172.31.16.139 22 20641 6 18 4000 1418530010 1418530070 ACCEPT OK
";
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!(summary.format, Format::Vpc);
    assert_eq!(summary.damaged, 0);
    assert_eq!(summary.bytes, log.len() as u64);
    assert_eq!(
        seen.flows,
        [
            "6 172.31.16.139:20641 > 172.31.16.21:22 opens passed 20p 4249b 1418530010000000000..1418530070000000000",
            "6 172.31.9.69:49761 > 172.31.9.12:3389 refused 20p 4249b 1418530010000000000..1418530070000000000",
            "6 2001:db8:1234:a100:8d6e:3477:df66:f105:34892 > 2001:db8:1234:a102:3304:8879:34cf:4071:22 opens passed 54p 8855b \
             1477913708000000000..1477913820000000000",
            "1 203.0.113.12 > 172.31.16.139 passed 4p 336b 1432917027000000000..1432917142000000000",
            "6 172.31.16.21:22 > 172.31.16.139:20641 answers passed 18p 4000b 1418530010000000000..1418530070000000000",
        ]
    );
}

#[test]
fn intervals_without_records_are_gaps() {
    let log = "\
2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA
2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA
";
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!(summary.damaged, 0);
    assert_eq!(
        seen.gaps,
        [
            "NODATA eni-1235b8ca123456789 1431280876000000000..1431280934000000000",
            "SKIPDATA eni-11111111aaaaaaaaa 1431280876000000000..1431280934000000000",
        ]
    );
}

#[test]
fn a_header_names_the_fields_of_a_custom_format() {
    let log = "\
version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr pkt-dstaddr protocol bytes packets start end action tcp-flags log-status
3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 52.213.180.42 10.0.0.62 43416 5001 52.213.180.42 10.0.0.62 6 568 8 1566848875 1566848933 ACCEPT 2 OK
3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 10.0.0.62 52.213.180.42 5001 43416 10.0.0.62 52.213.180.42 6 376 7 1566848875 1566848933 ACCEPT 18 OK
3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 10.0.0.62 52.213.180.42 5001 9000 10.0.0.62 52.213.180.42 6 100701 70 1566848875 1566848933 ACCEPT 0 OK
3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4 10.0.0.62 52.213.180.42 5001 43638 10.0.0.62 52.213.180.42 6 1260 17 1566933133 1566933193 ACCEPT 19 OK
";
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!((summary.format, summary.damaged), (Format::Vpc, 0));
    let shapes: Vec<&str> = seen.flows.iter().map(|flow| flow.split_once(" passed").unwrap().0).collect();
    assert_eq!(
        shapes,
        [
            "6 52.213.180.42:43416 > 10.0.0.62:5001 opens",
            "6 10.0.0.62:5001 > 52.213.180.42:43416 answers",
            "6 10.0.0.62:5001 > 52.213.180.42:9000",
            "6 10.0.0.62:5001 > 52.213.180.42:43638 answers",
        ]
    );
}

#[test]
fn the_packets_own_addresses_are_preferred() {
    // A NAT gateway's two sides: what it is sent by an instance, and what it sends on.
    let log = "\
instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr srcport dstport protocol flow-direction action log-status
- eni-1235b8ca123456789 10.0.1.5 10.0.0.220 10.0.1.5 203.0.113.5 39812 80 6 ingress ACCEPT OK
i-01234567890123456 eni-1111aaaa2222bbbb3 10.0.1.5 203.0.113.5 10.0.1.5 203.0.113.5 39812 80 6 egress ACCEPT OK
i-01234567890123456 eni-1111aaaa2222bbbb3 10.0.1.5 203.0.113.5 - - 39812 80 6 egress REJECT OK
";
    let (seen, _) = seen(log.as_bytes());
    assert_eq!(
        seen.flows,
        [
            "6 10.0.1.5:39812 > 203.0.113.5:80 opens passed at-destination",
            "6 10.0.1.5:39812 > 203.0.113.5:80 opens passed at-source",
            "6 10.0.1.5:39812 > 203.0.113.5:80 opens refused at-source",
        ]
    );
}

#[test]
fn headers_may_come_again_and_name_unknown_fields() {
    let log = "\
srcaddr dstaddr srcport dstport protocol brand-new\r
10.0.0.1 10.0.0.2 40000 80 6 x\r
protocol dstport srcport dstaddr srcaddr\r
17 53 40001 10.0.0.3 10.0.0.1\r
";
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!(seen.flows, ["6 10.0.0.1:40000 > 10.0.0.2:80 opens", "17 10.0.0.1:40001 > 10.0.0.3:53 opens"]);
    assert_eq!(summary.notes, ["fields that aren't known, and aren't read: `brand-new`"]);
}

#[test]
fn without_a_status_what_has_no_addresses_is_a_gap() {
    let log = "interface-id srcaddr dstaddr srcport dstport protocol start end\neni-1 - - - - - 10 20\n";
    assert_eq!(seen(log.as_bytes()).0.gaps, ["unrecorded eni-1 10000000000..20000000000"]);
}

#[test]
fn fields_can_be_named_where_there_is_no_header() {
    let fields = Some("${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol}".to_owned());
    let options = Options { format: Some(Format::Vpc), vpc_fields: fields, ..Options::default() };
    let (seen, result) = seen_by(b"10.0.0.1 10.0.0.2 40000 443 6\n", &options);
    result.unwrap();
    assert_eq!(seen.flows, ["6 10.0.0.1:40000 > 10.0.0.2:443 opens"]);
}

#[test]
fn a_log_that_cannot_tell_who_talked_to_whom_is_refused() {
    let (_, result) = seen_by(b"srcaddr dstaddr srcport protocol bytes\n", &Options::default());
    let error = result.unwrap_err();
    assert!(matches!(error, ReadError::Fields { missing: "dstport" }));
    assert_eq!(error.to_string(), "the flow log has no field `dstport`");
    assert!(error.help().unwrap().contains("`dstport`"));
}

#[test]
fn a_later_header_that_cannot_tell_costs_its_own_records() {
    let log = "\
srcaddr dstaddr srcport dstport protocol
10.0.0.1 10.0.0.2 40000 80 6
srcaddr dstaddr bytes
10.0.0.1 10.0.0.2 9
srcaddr dstaddr srcport dstport protocol
10.0.0.1 10.0.0.2 40000 443 6
";
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!((summary.flows, summary.damaged), (2, 2));
    assert_eq!(seen.damages[0], "3: the flow log has no field `protocol`");
}

#[test]
fn logs_of_transit_gateways_show_every_ack() {
    let log = "\
version resource-type account-id tgw-id tgw-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status tcp-flags
6 TransitGateway 123456789010 tgw-1 tgw-attach-1 10.0.0.1 10.1.0.1 40000 443 6 9 900 1 2 OK 19
6 TransitGateway 123456789010 tgw-1 tgw-attach-1 10.0.0.1 10.1.0.1 5000 6000 6 9 900 1 2 OK 19
6 TransitGateway 123456789010 tgw-1 tgw-attach-1 10.0.0.1 10.1.0.1 5000 6000 6 1 60 1 2 OK 2
6 TransitGateway 123456789010 tgw-1 tgw-attach-1 - - - - - - - 1 2 NODATA -
";
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!(summary.damaged, 0);
    let shapes: Vec<&str> = seen.flows.iter().map(|flow| flow.split_once("p ").unwrap().0).collect();
    assert_eq!(
        shapes,
        [
            "6 10.0.0.1:40000 > 10.1.0.1:443 opens 9",
            "6 10.0.0.1:5000 > 10.1.0.1:6000 9",
            "6 10.0.0.1:5000 > 10.1.0.1:6000 opens 1"
        ]
    );
    assert_eq!(seen.gaps, ["NODATA tgw-attach-1 1000000000..2000000000"]);
}

#[test]
fn exports_of_cloudwatch_have_a_time_before_each_record() {
    let record = "2 123456789010 eni-1235b8ca123456789 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT OK";
    let log = format!(
        "2023-07-05T19:02:11.000Z {record}\n2023-07-05T19:02:11+00:00 eni-1235b8ca123456789-all {record}\n{record}\n"
    );
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!((summary.flows, summary.damaged), (3, 0));
    assert!(seen.flows.iter().all(|flow| *flow == seen.flows[0]));
}

#[test]
fn records_that_make_no_sense_are_damage() {
    let good = "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT OK";
    let bad = [
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT",
            "2: not as many fields as the format has are in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT OK x",
            "3: not as many fields as the format has are in the record",
        ),
        (
            "2 1 eni-1 10.0.0.x 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT OK",
            "4: no source address is in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 - 40000 80 6 1 60 10 20 ACCEPT OK",
            "5: no destination address is in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 65536 80 6 1 60 10 20 ACCEPT OK",
            "6: a port isn't a number up to 65535 in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 256 1 60 10 20 ACCEPT OK",
            "7: no protocol number is in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 -1 60 10 20 ACCEPT OK",
            "8: the packets aren't counted in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 9999999999999 ACCEPT OK",
            "9: a time is out of range in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPTED OK",
            "10: an unknown `action` is in the record",
        ),
        (
            "2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT O",
            "11: an unknown `log-status` is in the record",
        ),
    ];
    let mut log = format!("{good}\n");
    bad.iter().for_each(|(line, _)| log.push_str(&format!("{line}\n")));
    log.push_str(good);
    let (seen, summary) = seen(log.as_bytes());
    assert_eq!((summary.flows, summary.damaged), (2, bad.len() as u64));
    for (told, (_, expected)) in seen.damages.iter().zip(bad) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    let strict = Options { strict: true, ..Options::default() };
    let (seen, result) = seen_by(log.as_bytes(), &strict);
    assert!(matches!(result, Err(ReadError::Damaged(damage)) if damage.place == 2));
    assert_eq!(seen.flows.len(), 1);
}

#[test]
fn parquet_is_told_apart() {
    let (_, result) = seen_by(b"PAR1\x15\x04\x15\x10", &Options::default());
    assert_eq!(result.unwrap_err().to_string(), "Parquet isn't read");
}

#[test]
fn what_isnt_packed_says_so() {
    let (_, summary) = seen(b"2 1 eni-1 10.0.0.1 10.0.0.2 40000 80 6 1 60 10 20 ACCEPT OK");
    assert_eq!(summary.packing, Packing::None);
}
