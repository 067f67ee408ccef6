import pytest

from skyseg_tf.console.cli import main
from skyseg_tf.errors import InputError
from skyseg_tf.server.port import listen


def test_a_free_port_listens():
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.parametrize("port", [-1, 65536])
def test_no_such_port(port):
    with pytest.raises(InputError, match=f"--port is {port}: give 1 to 65535"):
        listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_one_clear_line():
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.1, port 0: .*give another"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("verb", ["serve", "dashboard"])
def test_a_port_that_is_taken_is_one_clear_line(verb, capfd):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as exit_info:
            main([verb, "--host", "127.0.0.1", "--port", str(port)])
    assert exit_info.value.code == 2
    told = capfd.readouterr().err
    assert told == (
        f"skyseg {verb}: error: cannot listen on 127.0.0.1, port {port}: Address already in use; "
        "give another --port or --host\n"
    )
