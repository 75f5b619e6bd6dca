//! Time zones by name: IANA names, and the Rails names that GitLab also accepts.
//!
//! Uses the compiled-in time zone database, so that the result does not depend on the machine.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::domain::names;

/// Finds a time zone by name.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    let iana = match RAILS.binary_search_by_key(&name, |(rails, _)| rails) {
        Ok(at) => RAILS[at].1,
        Err(_) => name,
    };
    let zone = TimeZoneDatabase::bundled().get(iana).ok()?;
    (!zone.is_unknown()).then_some(zone)
}

/// Parses the name of a time zone; the error says what to write instead.
pub fn parse(name: &str) -> Result<TimeZone, String> {
    time_zone(name).ok_or_else(|| unknown(name.trim()))
}

/// The error for an unknown name: why it is not a time zone, and what to write instead.
pub fn unknown(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if let Some((_, zone)) = ABBREVIATIONS.iter().find(|(short, _)| *short == upper) {
        return format!(
            "{name:?} is an abbreviation for part of the year or for several places, not a time zone: write a \
             place, such as {zone}"
        );
    }
    if let Some(hours) = offset(&upper) {
        // POSIX offsets have the opposite sign.
        let zone = match hours {
            0 => "UTC".to_owned(),
            hours => format!("Etc/GMT{:+}", -hours),
        };
        return format!(
            "{name:?} is an offset from UTC, not a time zone: write {zone}, or a place such as Europe/Berlin, \
             which includes daylight saving time"
        );
    }
    let written = name.replace(' ', "_");
    let database = TimeZoneDatabase::bundled();
    let zones: Vec<String> = database.available().map(|zone| zone.to_string()).collect();
    let place = |zone: &&String| {
        let last = zone.rsplit('/').next().unwrap_or(zone);
        last.eq_ignore_ascii_case(&written)
    };
    let near = match zones.iter().find(place) {
        Some(zone) => format!(", but {zone}"),
        None => names::but(&written, zones.iter().map(String::as_str)),
    };
    format!(
        "there is no time zone {name:?}{near}: write a name of the IANA time zone database, such as Europe/Berlin, \
         CET or UTC"
    )
}

/// The whole hours of an offset such as `+02:00`, `UTC+2` or `GMT-5`.
fn offset(text: &str) -> Option<i32> {
    let text = text
        .strip_prefix("UTC")
        .or_else(|| text.strip_prefix("GMT"))
        .unwrap_or(text);
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let hours = digits
        .strip_suffix(":00")
        .or_else(|| digits.strip_suffix("00").filter(|it| it.len() == 2));
    let hours: i32 = hours.unwrap_or(digits).parse().ok()?;
    (0..=14).contains(&hours).then_some(sign * hours)
}

/// Abbreviations that are not IANA time zones, each with a zone where it is used.
const ABBREVIATIONS: [(&str, &str); 28] = [
    ("ACST", "Australia/Darwin"),
    ("AEDT", "Australia/Sydney"),
    ("AEST", "Australia/Sydney"),
    ("AWST", "Australia/Perth"),
    ("BRT", "America/Sao_Paulo"),
    ("BST", "Europe/London"),
    ("CAT", "Africa/Harare"),
    ("CDT", "America/Chicago"),
    ("CEST", "Europe/Berlin"),
    ("CST", "America/Chicago"),
    ("EAT", "Africa/Nairobi"),
    ("EDT", "America/New_York"),
    ("EEST", "Europe/Athens"),
    ("HKT", "Asia/Hong_Kong"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("KST", "Asia/Seoul"),
    ("MDT", "America/Denver"),
    ("MESZ", "Europe/Berlin"),
    ("MEZ", "Europe/Berlin"),
    ("MSK", "Europe/Moscow"),
    ("NZDT", "Pacific/Auckland"),
    ("NZST", "Pacific/Auckland"),
    ("PDT", "America/Los_Angeles"),
    ("PST", "America/Los_Angeles"),
    ("SAST", "Africa/Johannesburg"),
    ("SGT", "Asia/Singapore"),
    ("WEST", "Europe/Lisbon"),
];

/// The Rails names of time zones (`ActiveSupport::TimeZone`), sorted. GitLab accepts them for freeze periods,
/// besides IANA names.
#[rustfmt::skip]
const RAILS: [(&str, &str); 151] = [
    ("Abu Dhabi", "Asia/Muscat"),
    ("Adelaide", "Australia/Adelaide"),
    ("Alaska", "America/Juneau"),
    ("Almaty", "Asia/Almaty"),
    ("American Samoa", "Pacific/Pago_Pago"),
    ("Amsterdam", "Europe/Amsterdam"),
    ("Arizona", "America/Phoenix"),
    ("Astana", "Asia/Dhaka"),
    ("Athens", "Europe/Athens"),
    ("Atlantic Time (Canada)", "America/Halifax"),
    ("Auckland", "Pacific/Auckland"),
    ("Azores", "Atlantic/Azores"),
    ("Baghdad", "Asia/Baghdad"),
    ("Baku", "Asia/Baku"),
    ("Bangkok", "Asia/Bangkok"),
    ("Beijing", "Asia/Shanghai"),
    ("Belgrade", "Europe/Belgrade"),
    ("Berlin", "Europe/Berlin"),
    ("Bern", "Europe/Zurich"),
    ("Bogota", "America/Bogota"),
    ("Brasilia", "America/Sao_Paulo"),
    ("Bratislava", "Europe/Bratislava"),
    ("Brisbane", "Australia/Brisbane"),
    ("Brussels", "Europe/Brussels"),
    ("Bucharest", "Europe/Bucharest"),
    ("Budapest", "Europe/Budapest"),
    ("Buenos Aires", "America/Argentina/Buenos_Aires"),
    ("Cairo", "Africa/Cairo"),
    ("Canberra", "Australia/Melbourne"),
    ("Cape Verde Is.", "Atlantic/Cape_Verde"),
    ("Caracas", "America/Caracas"),
    ("Casablanca", "Africa/Casablanca"),
    ("Central America", "America/Guatemala"),
    ("Central Time (US & Canada)", "America/Chicago"),
    ("Chatham Is.", "Pacific/Chatham"),
    ("Chennai", "Asia/Kolkata"),
    ("Chihuahua", "America/Chihuahua"),
    ("Chongqing", "Asia/Chongqing"),
    ("Copenhagen", "Europe/Copenhagen"),
    ("Darwin", "Australia/Darwin"),
    ("Dhaka", "Asia/Dhaka"),
    ("Dublin", "Europe/Dublin"),
    ("Eastern Time (US & Canada)", "America/New_York"),
    ("Edinburgh", "Europe/London"),
    ("Ekaterinburg", "Asia/Yekaterinburg"),
    ("Fiji", "Pacific/Fiji"),
    ("Georgetown", "America/Guyana"),
    ("Greenland", "America/Nuuk"),
    ("Guadalajara", "America/Mexico_City"),
    ("Guam", "Pacific/Guam"),
    ("Hanoi", "Asia/Bangkok"),
    ("Harare", "Africa/Harare"),
    ("Hawaii", "Pacific/Honolulu"),
    ("Helsinki", "Europe/Helsinki"),
    ("Hobart", "Australia/Hobart"),
    ("Hong Kong", "Asia/Hong_Kong"),
    ("Indiana (East)", "America/Indiana/Indianapolis"),
    ("International Date Line West", "Etc/GMT+12"),
    ("Irkutsk", "Asia/Irkutsk"),
    ("Islamabad", "Asia/Karachi"),
    ("Istanbul", "Europe/Istanbul"),
    ("Jakarta", "Asia/Jakarta"),
    ("Jerusalem", "Asia/Jerusalem"),
    ("Kabul", "Asia/Kabul"),
    ("Kaliningrad", "Europe/Kaliningrad"),
    ("Kamchatka", "Asia/Kamchatka"),
    ("Karachi", "Asia/Karachi"),
    ("Kathmandu", "Asia/Kathmandu"),
    ("Kolkata", "Asia/Kolkata"),
    ("Krasnoyarsk", "Asia/Krasnoyarsk"),
    ("Kuala Lumpur", "Asia/Kuala_Lumpur"),
    ("Kuwait", "Asia/Kuwait"),
    ("Kyiv", "Europe/Kyiv"),
    ("La Paz", "America/La_Paz"),
    ("Lima", "America/Lima"),
    ("Lisbon", "Europe/Lisbon"),
    ("Ljubljana", "Europe/Ljubljana"),
    ("London", "Europe/London"),
    ("Madrid", "Europe/Madrid"),
    ("Magadan", "Asia/Magadan"),
    ("Marshall Is.", "Pacific/Majuro"),
    ("Mazatlan", "America/Mazatlan"),
    ("Melbourne", "Australia/Melbourne"),
    ("Mexico City", "America/Mexico_City"),
    ("Mid-Atlantic", "Atlantic/South_Georgia"),
    ("Midway Island", "Pacific/Midway"),
    ("Minsk", "Europe/Minsk"),
    ("Monrovia", "Africa/Monrovia"),
    ("Monterrey", "America/Monterrey"),
    ("Montevideo", "America/Montevideo"),
    ("Moscow", "Europe/Moscow"),
    ("Mountain Time (US & Canada)", "America/Denver"),
    ("Mumbai", "Asia/Kolkata"),
    ("Muscat", "Asia/Muscat"),
    ("Nairobi", "Africa/Nairobi"),
    ("New Caledonia", "Pacific/Noumea"),
    ("New Delhi", "Asia/Kolkata"),
    ("Newfoundland", "America/St_Johns"),
    ("Novosibirsk", "Asia/Novosibirsk"),
    ("Nuku'alofa", "Pacific/Tongatapu"),
    ("Osaka", "Asia/Tokyo"),
    ("Pacific Time (US & Canada)", "America/Los_Angeles"),
    ("Paris", "Europe/Paris"),
    ("Perth", "Australia/Perth"),
    ("Port Moresby", "Pacific/Port_Moresby"),
    ("Prague", "Europe/Prague"),
    ("Pretoria", "Africa/Johannesburg"),
    ("Puerto Rico", "America/Puerto_Rico"),
    ("Quito", "America/Lima"),
    ("Rangoon", "Asia/Yangon"),
    ("Riga", "Europe/Riga"),
    ("Riyadh", "Asia/Riyadh"),
    ("Rome", "Europe/Rome"),
    ("Samara", "Europe/Samara"),
    ("Samoa", "Pacific/Apia"),
    ("Santiago", "America/Santiago"),
    ("Sapporo", "Asia/Tokyo"),
    ("Sarajevo", "Europe/Sarajevo"),
    ("Saskatchewan", "America/Regina"),
    ("Seoul", "Asia/Seoul"),
    ("Singapore", "Asia/Singapore"),
    ("Skopje", "Europe/Skopje"),
    ("Sofia", "Europe/Sofia"),
    ("Solomon Is.", "Pacific/Guadalcanal"),
    ("Srednekolymsk", "Asia/Srednekolymsk"),
    ("Sri Jayawardenepura", "Asia/Colombo"),
    ("St. Petersburg", "Europe/Moscow"),
    ("Stockholm", "Europe/Stockholm"),
    ("Sydney", "Australia/Sydney"),
    ("Taipei", "Asia/Taipei"),
    ("Tallinn", "Europe/Tallinn"),
    ("Tashkent", "Asia/Tashkent"),
    ("Tbilisi", "Asia/Tbilisi"),
    ("Tehran", "Asia/Tehran"),
    ("Tijuana", "America/Tijuana"),
    ("Tokelau Is.", "Pacific/Fakaofo"),
    ("Tokyo", "Asia/Tokyo"),
    ("UTC", "UTC"),
    ("Ulaanbaatar", "Asia/Ulaanbaatar"),
    ("Urumqi", "Asia/Urumqi"),
    ("Vienna", "Europe/Vienna"),
    ("Vilnius", "Europe/Vilnius"),
    ("Vladivostok", "Asia/Vladivostok"),
    ("Volgograd", "Europe/Volgograd"),
    ("Warsaw", "Europe/Warsaw"),
    ("Wellington", "Pacific/Auckland"),
    ("West Central Africa", "Africa/Algiers"),
    ("Yakutsk", "Asia/Yakutsk"),
    ("Yerevan", "Asia/Yerevan"),
    ("Zagreb", "Europe/Zagreb"),
    ("Zurich", "Europe/Zurich"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iana_and_rails_zone_names_are_known() {
        for (name, iana) in [
            ("UTC", "UTC"),
            ("Europe/Berlin", "Europe/Berlin"),
            ("Berlin", "Europe/Berlin"),
            ("Pacific Time (US & Canada)", "America/Los_Angeles"),
            (" Nuku'alofa ", "Pacific/Tongatapu"),
            ("CET", "CET"),
            ("EST5EDT", "EST5EDT"),
            ("GB-Eire", "GB-Eire"),
            ("Etc/GMT-2", "Etc/GMT-2"),
        ] {
            let zone = time_zone(name).unwrap();
            assert_eq!(zone.iana_name(), Some(iana), "{name}");
        }
    }

    #[test]
    fn other_zone_names_are_unknown() {
        for name in [
            "",
            "Mars/Olympus",
            "Local",
            "Etc/Unknown",
            "+02:00",
            "berlin time",
        ] {
            assert_eq!(time_zone(name), None, "{name}");
        }
    }

    #[test]
    fn unknown_zone_name_is_answered_with_a_suggestion() {
        for (name, expected) in [
            ("CEST", "such as Europe/Berlin"),
            ("pst", "such as America/Los_Angeles"),
            ("+02:00", "write Etc/GMT-2,"),
            ("UTC+2", "write Etc/GMT-2,"),
            ("GMT-0500", "write Etc/GMT+5,"),
            ("Europe/Berln", ", but Europe/Berlin:"),
            ("berlin", ", but Europe/Berlin:"),
            ("new york", ", but America/New_York:"),
            (
                "Mars/Olympus",
                "there is no time zone \"Mars/Olympus\": write a name",
            ),
        ] {
            let problem = parse(name).unwrap_err();
            assert!(problem.contains(expected), "{name}: {problem}");
        }
    }

    #[test]
    fn suggested_zone_for_an_abbreviation_exists() {
        for (short, zone) in ABBREVIATIONS {
            assert_eq!(time_zone(short), None, "{short}");
            assert!(time_zone(zone).is_some(), "{zone}");
        }
    }

    #[test]
    fn every_rails_name_maps_to_a_zone() {
        assert!(RAILS.is_sorted_by(|a, b| a.0 < b.0));
        for (name, iana) in RAILS {
            assert!(time_zone(name).is_some(), "{name} {iana}");
        }
    }
}
