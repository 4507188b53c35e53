//! Lines of CSV that a spreadsheet opens without computing anything.

/// A quoted cell, without what a spreadsheet would take for a formula.
#[must_use]
pub fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// A line with its end.
#[must_use]
pub fn line(cells: &[String]) -> String {
    cells.join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_computes_nothing() {
        assert_eq!(cell("say \"hi\",\nbye"), "\"say \"\"hi\"\",\nbye\"");
        assert_eq!(cell("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
        assert_eq!(line(&[cell("a"), "1.5".to_owned()]), "\"a\",1.5\r\n");
    }
}
