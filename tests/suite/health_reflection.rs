//! What generic tools ask a gRPC server: is it healthy, and what does it serve?

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::calls::refused;
use super::catalogues;
use super::harness::Home;

const SERVICES: [&str; 4] = [
    "oddsmaker.v1.AdminService",
    "oddsmaker.v1.GoalService",
    "oddsmaker.v1.InsightsService",
    "oddsmaker.v1.RouterService",
];

#[tokio::test]
async fn health_is_told_for_all_and_for_each_service() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut health = HealthClient::new(daemon.channel().await);
    for service in std::iter::once("").chain(SERVICES) {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "oddsmaker.v1.NoService".to_owned() }).await;
    assert_eq!(refused(unknown).0, tonic::Code::NotFound);
}

#[tokio::test]
async fn reflection_tells_every_service_and_its_comments() {
    let home = Home::new(&catalogues::usual());
    let daemon = home.start();
    let mut reflection = ServerReflectionClient::new(daemon.channel().await);
    let request =
        |message_request| ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
    let requests = [
        request(MessageRequest::ListServices(String::new())),
        request(MessageRequest::FileContainingSymbol("oddsmaker.v1.RouterService".to_owned())),
    ];
    let mut answers = reflection.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let listed = answers.message().await.unwrap().and_then(|a| a.message_response);
    let Some(MessageResponse::ListServicesResponse(listed)) = listed else { panic!("{listed:?}") };
    let names: Vec<_> = listed.service.iter().map(|s| s.name.as_str()).collect();
    for service in SERVICES {
        assert!(names.contains(&service), "{service} is not among {names:?}");
    }
    let file = answers.message().await.unwrap().and_then(|a| a.message_response);
    let Some(MessageResponse::FileDescriptorResponse(file)) = file else { panic!("{file:?}") };
    let file = <prost_types::FileDescriptorProto as prost::Message>::decode(&*file.file_descriptor_proto[0]).unwrap();
    let methods: Vec<_> = file.service[0].method.iter().map(prost_types::MethodDescriptorProto::name).collect();
    assert_eq!(methods, ["GetPolicy", "GateStep", "RecordOutcome", "RecordOutcomes", "AmendOutcome", "VoidDecision"]);
}
