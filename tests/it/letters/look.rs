//! temporary: serves the shop for looking at
use super::shop;
#[tokio::test]
#[ignore]
async fn look() {
    let which = std::env::var("LOOK").unwrap_or_default();
    let shop = match which.as_str() {
        "empty" => crate::harness::letters::Seeded::new().await,
        "well" => crate::harness::letters::Seeded::new().await.bus("prod", &["a-dlt", "b-dlt"]).await,
        _ => shop().await,
    };
    if which == "down" {
        shop.unreachable("prod", "broker 101, 102, 103: connection refused").await;
    }
    let state = shop.state("[auth]\nmode = \"none\"\n");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", std::env::var("PORT").unwrap().parse::<u16>().unwrap())).await.unwrap();
    redrive::web::serve(listener, state).await.unwrap();
}
