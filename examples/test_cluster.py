"""Two servers and their clients in one test, and a Redis that goes away."""

from siocore import Server
from siocore.cluster.streams import StreamsCluster
from siocore.testing import ModelRedis, Simulation, TestClient, TestServer


def test_what_is_sent_while_redis_is_away_arrives_later():
    simulation = Simulation()
    redis = ModelRedis(simulation)
    servers = []
    for _ in range(2):
        cluster = StreamsCluster()
        redis.attach(cluster.broker)
        servers.append(TestServer(Server(adapter=cluster), simulation=simulation))
    ann, bob = (TestClient(server) for server in servers)
    ann.connect()
    bob.connect()

    redis.stop()
    servers[0].app.emit("news", 1)
    assert ann.receive().args == [1]
    simulation.advance(10)
    assert not bob.events
    redis.start()
    assert bob.receive().args == [1]
