//! A real Chromium, driven by its own chromedriver: a fresh profile, a free port, gone with the test (Chromium ends when the pipe
//! to its driver closes). Collects what the console complains about, violations of the content security policy included.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a slow machine may take to show something.
const PATIENCE: Duration = Duration::from_secs(90);

const ARGUMENTS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en-GB",
    "--remote-debugging-pipe",
];

/// Keys that are no characters.
pub(crate) mod keys {
    /// The Enter key.
    pub(crate) const ENTER: char = '\u{e007}';
    /// The Tab key.
    pub(crate) const TAB: char = '\u{e004}';
    /// The Escape key.
    pub(crate) const ESCAPE: char = '\u{e00c}';
    /// The Control key.
    pub(crate) const CONTROL: char = '\u{e009}';
}

/// Whether pages may run script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// As browsers come.
    On,
    /// Switched off, as by a strict company.
    Off,
}

/// One browser with one window.
pub(crate) struct Browser {
    client: Client,
    _driver: Driver,
    _folder: TempDir,
}

impl Browser {
    /// Opens a browser with a window of 1440 by 900.
    pub(crate) async fn open(script: Script) -> Self {
        let folder = tempfile::Builder::new().prefix("redrive-browser-").tempdir().expect("a scratch folder can be made");
        let driver = Driver::start(folder.path()).await;
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|&a| a.to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", folder.path().join("profile").display()));
        let setting = if script == Script::On { 1 } else { 2 };
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "binary": "/usr/bin/chromium",
                "args": arguments,
                "prefs": { "profile.default_content_setting_values.javascript": setting },
            },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is written as an object") };
        let client = ClientBuilder::native()
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("chromium can be started");
        let browser = Self { client, _driver: driver, _folder: folder };
        browser.resize(1440, 900).await;
        browser
    }

    /// Gives the page another size, as a phone or a smaller window would.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Prefers the dark or the light theme, as the system's setting would.
    pub(crate) async fn prefer_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] })).await;
    }

    /// Shows the page as a printer would get it, in the dark theme of the system, or as a screen again.
    pub(crate) async fn on_paper(&self, paper: bool) {
        let media = if paper { "print" } else { "" };
        let dark = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "media": media, "features": dark })).await;
    }

    /// Opens an address.
    pub(crate) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url} cannot be opened: {error}"));
    }

    /// Address of the page.
    pub(crate) async fn address(&self) -> String {
        self.client.current_url().await.expect("a page has an address").to_string()
    }

    /// Title of the page.
    pub(crate) async fn title(&self) -> String {
        self.client.title().await.expect("a page has a title")
    }

    /// The page's text as a person sees it.
    pub(crate) async fn text(&self) -> String {
        self.text_of("body").await
    }

    /// Text of the first element that matches, as a person sees it.
    pub(crate) async fn text_of(&self, css: &str) -> String {
        self.again(&format!("text of {css}"), async || self.client.find(Locator::Css(css)).await?.text().await).await
    }

    /// Does something with an element. A page that fetches a part of itself may replace it meanwhile; then it is looked for again.
    async fn again<T>(&self, what: &str, act: impl AsyncFn() -> Result<T, CmdError>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match act().await {
                Ok(done) => return done,
                Err(error) => {
                    assert!(error.is_stale_element_reference() && Instant::now() < deadline, "{what}: {error}");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many elements match.
    pub(crate) async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.map_or(0, |found| found.len())
    }

    /// Waits until an element is there.
    pub(crate) async fn wait_for(&self, css: &str) {
        self.wait_until(&format!("{css} is there"), async || Ok(!self.client.find_all(Locator::Css(css)).await?.is_empty())).await;
    }

    /// Waits until the page's text holds this.
    pub(crate) async fn wait_for_text(&self, text: &str) {
        let holds = async || Ok(self.client.find(Locator::Css("body")).await?.text().await?.contains(text));
        self.wait_until(&format!("the page says {text:?}"), holds).await;
    }

    /// Waits until the address holds this.
    pub(crate) async fn wait_for_address(&self, part: &str) {
        let holds = async || Ok(self.client.current_url().await?.as_str().contains(part));
        self.wait_until(&format!("the address holds {part:?}"), holds).await;
    }

    /// Clicks the first element that matches.
    pub(crate) async fn click(&self, css: &str) {
        let click = async || {
            let element = self.client.find(Locator::Css(css)).await?;
            match element.click().await {
                Err(error) if !error.is_stale_element_reference() => {
                    // It lies behind the bar at the top: a person scrolls a little further.
                    let place = serde_json::to_value(&element).expect("an element has an id");
                    self.client.execute("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", vec![place]).await?;
                    element.click().await
                }
                clicked => clicked,
            }
        };
        self.again(&format!("{css} cannot be clicked"), click).await;
    }

    /// Clicks the link of this text.
    pub(crate) async fn click_link(&self, text: &str) {
        let click = async || self.client.find(Locator::LinkText(text)).await?.click().await;
        self.again(&format!("link {text:?} cannot be clicked"), click).await;
    }

    /// Empties a field and types into it; [`keys::ENTER`] may be part of the text.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let fill = async || {
            let field = self.client.find(Locator::Css(css)).await?;
            field.clear().await?;
            field.send_keys(text).await
        };
        self.again(&format!("{css} takes no text"), fill).await;
    }

    /// Presses keys one after the other on whatever holds the focus; a leading [`keys::CONTROL`] is held down.
    pub(crate) async fn press(&self, pressed: &[char]) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for &value in pressed {
            actions = actions.then(KeyAction::Down { value });
            if value != keys::CONTROL {
                actions = actions.then(KeyAction::Up { value });
            }
        }
        self.client.perform_actions(actions).await.expect("keys can be pressed");
        self.client.release_actions().await.expect("keys can be let go");
    }

    /// Moves the mouse over an element, so many pixels beside its middle.
    pub(crate) async fn hover(&self, css: &str, x: f64, y: f64) {
        self.move_mouse(async || MouseActions::new("mouse".to_owned()).then(self.over(css, x, y).await)).await;
    }

    /// Drags with the mouse over an element, from one distance beside its middle to another.
    pub(crate) async fn drag(&self, css: &str, from: f64, to: f64) {
        let drag = async || {
            MouseActions::new("mouse".to_owned())
                .then(self.over(css, from, 0.0).await)
                .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
                .then(self.over(css, f64::midpoint(from, to), 0.0).await)
                .then(self.over(css, to, 0.0).await)
                .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT })
        };
        self.move_mouse(drag).await;
    }

    /// A page that fetches a part of itself may replace what the mouse is to go to; then it is looked for again.
    async fn move_mouse(&self, actions: impl AsyncFn() -> MouseActions) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.client.perform_actions(actions().await).await {
            assert!(error.is_stale_element_reference() && Instant::now() < deadline, "the mouse cannot be moved: {error}");
            self.client.release_actions().await.expect("the mouse can be let go");
        }
    }

    async fn over(&self, css: &str, x: f64, y: f64) -> PointerAction {
        let element = self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("no {css}: {error}"));
        PointerAction::MoveToElement { element, duration: Some(Duration::from_millis(50)), x, y }
    }

    /// Runs script on the test's behalf and answers its `return` value; works on pages that may not run any.
    pub(crate) async fn evaluate(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script:?}: {error}"))
    }

    /// What the console has complained about since the last question: script errors, refused loads, policy violations.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Extension::new("se/log", &json!({ "type": "browser" }))).await;
        let log = log.expect("chromedriver tells the console's log");
        let serious = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        log.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter(serious).map(|entry| entry["message"].to_string()).collect()
    }

    /// Checks that the page does not scroll sideways.
    pub(crate) async fn assert_fits(&self) {
        let script = "const e = document.documentElement; const wide = [...document.querySelectorAll('body *')] \
            .filter((x) => x.getBoundingClientRect().right > e.clientWidth).map((x) => x.outerHTML.slice(0, 200)); \
            return [e.scrollWidth, e.clientWidth, location.pathname, wide.slice(0, 12)]";
        let answer = self.evaluate(script).await;
        assert!(answer[0].as_u64() <= answer[1].as_u64(), "the page scrolls sideways: {answer:#}");
    }

    /// Writes a picture of what is visible.
    pub(crate) async fn screenshot(&self, file: &Path) {
        let picture = self.client.screenshot().await.expect("a picture can be taken");
        std::fs::write(file, picture).expect("the picture can be written");
    }

    async fn devtools(&self, method: &str, parameters: Value) {
        let command = Extension::new("goog/cdp/execute", &json!({ "cmd": method, "params": parameters }));
        self.client.issue_cmd(command).await.unwrap_or_else(|error| panic!("{method}: {error}"));
    }

    async fn wait_until<F: AsyncFn() -> Result<bool, CmdError>>(&self, what: &str, holds: F) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // An element may vanish between being found and being read; then it is looked for again.
            if matches!(holds().await, Ok(true)) {
                return;
            }
            if Instant::now() >= deadline {
                let (address, text) = (self.address().await, self.text().await);
                panic!("after {PATIENCE:?} still not: {what}\nat {address}\n{text}\n{:?}", self.complaints().await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A chromedriver and its port; killed when dropped.
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    async fn start(folder: &Path) -> Self {
        let file = folder.join("chromedriver.log");
        let log = File::create(&file).expect("the scratch folder can be written");
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "chromedriver", "--port=0"])
            .env("TMPDIR", folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn()
            .expect("setpriv (util-linux) can be started");
        let mut driver = Self { process, port: 0 };
        let deadline = Instant::now() + PATIENCE;
        while driver.port == 0 {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(Instant::now() < deadline, "chromedriver (apt-get install chromium-driver) does not start: {text}");
            let port = text.split("started successfully on port ").nth(1).and_then(|rest| rest.split('.').next()?.parse().ok());
            driver.port = port.unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command of chromedriver beyond the standard: posted below the session's address.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: String,
}

impl Extension {
    fn new(path: &'static str, body: &Value) -> Self {
        Self { path, body: body.to_string() }
    }
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &reqwest::Url, session: Option<&str>) -> Result<reqwest::Url, <reqwest::Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &reqwest::Url) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(self.body.clone()))
    }
}
