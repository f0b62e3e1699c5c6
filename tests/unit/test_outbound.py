"""How a proxy is written, and what of that is shown."""

from __future__ import annotations

import pytest

from rdpeer.net.outbound import ProxyAddress


@pytest.mark.parametrize(
    ("text", "shown", "password"),
    [
        ("socks5://h", "socks5://h:1080", ""),
        ("SOCKS5h://[fd77::3]:5", "socks5://[fd77::3]:5", ""),
        ("10.0.0.1:1080", "socks5://10.0.0.1:1080", ""),
        ("http://h/", "http://h:80", ""),
        ("http://m%40e:p%3Aw@h:3128", "http://m%40e@h:3128", "p:w"),
    ],
)
def test_proxies(text: str, shown: str, password: str) -> None:
    proxy = ProxyAddress.parse(text)
    assert (str(proxy), proxy.password) == (shown, password)
    assert not password or password not in repr(proxy)


@pytest.mark.parametrize(
    "text", ["ftp://h", "socks5://", "http://@h", "socks5://a%3Ab:c@h", "socks5://h:0", "http://a:\udcff@h"]
)
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        ProxyAddress.parse(text)
    assert not isinstance(refused.value, UnicodeError), "said in words"
