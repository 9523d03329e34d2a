"""SHA-256 of the OGB files that were at hand, by their place below a root, without ``.csv.gz``."""

from __future__ import annotations

__all__ = ["SHA256"]

SHA256: dict[str, str] = {
    "ogb/ogbg_molbace/raw/edge": (
        "014e9475134c9c20300fda5d8115bd0c5f192185cd74c6f8921afc28f6359ce7"
    ),
    "ogb/ogbg_molbace/raw/edge-feat": (
        "089c1ee7c5561a0e81623780d0808e10feb2aa789a48b1fef260ad3f3494013b"
    ),
    "ogb/ogbg_molbace/raw/graph-label": (
        "a93fed4e7bf6ef1fe8b6bd79e5a4eb984d9a5ccaa4f51d6cb1accecff836b632"
    ),
    "ogb/ogbg_molbace/raw/node-feat": (
        "bd031b6fd3d699c2ee4527e778e298bc0ae52439b9b720311789f83803a6025a"
    ),
    "ogb/ogbg_molbace/raw/num-edge-list": (
        "78e201ed1abfd581096a3e5ba32a18ccca8e872f89c05bec1f9e52f25a7a5f76"
    ),
    "ogb/ogbg_molbace/raw/num-node-list": (
        "ca6e661f0d4323c90543e9539971ba8695a763aac0df2e8e1c6d141985a9a2fa"
    ),
    "ogb/ogbg_molbace/split/scaffold/test": (
        "8e6ede054b28f5953912996c1d59c0d8b0c7ef252b3f2679c251d205c8438755"
    ),
    "ogb/ogbg_molbace/split/scaffold/train": (
        "5f20fb296650872fc91d8af37ed3afdd6d4cd32b52e53763d543bf1b6aa89b26"
    ),
    "ogb/ogbg_molbace/split/scaffold/valid": (
        "f06cb03da9a5f5609c4600f1e01148eb54779351086aede3305643335657bd66"
    ),
    "ogb/ogbg_molbbbp/raw/edge": (
        "1b5843cd8221fda188809da6e60c1c27b4831cc01c568ecbe362e3532b1ccb25"
    ),
    "ogb/ogbg_molbbbp/raw/edge-feat": (
        "63c88ff2aa95429411dce45f9cba68a7e06bbc793524a9bc4ec13179a5cea125"
    ),
    "ogb/ogbg_molbbbp/raw/graph-label": (
        "99ae33f3f36ac7fed4a755c4912a170c0f1810e0688e6fba76d75831d4686f4f"
    ),
    "ogb/ogbg_molbbbp/raw/node-feat": (
        "90b47004f3ce80a6495c8add546ae360d4c6e7356f5360664c0b041eac07df34"
    ),
    "ogb/ogbg_molbbbp/raw/num-edge-list": (
        "552429af844e8d806155bb5e8bd59308528dc8d7d34d6a3f19a27e0d910fc87f"
    ),
    "ogb/ogbg_molbbbp/raw/num-node-list": (
        "859b4d14247fc8d03b50661d17b453a23d966e3bfa22b66edb46d2e54acf36d6"
    ),
    "ogb/ogbg_molbbbp/split/scaffold/test": (
        "2561d4164f8e33163d6484bcce005578b7a3de3b00b4630c072bf56219a21451"
    ),
    "ogb/ogbg_molbbbp/split/scaffold/train": (
        "e1ae77b817d05b63af3ec5aa7ab1e170ebebc0849cb7712fe11b29a48999cc75"
    ),
    "ogb/ogbg_molbbbp/split/scaffold/valid": (
        "0b20d30453c99a703a672e0c023bea9e198315db3c92c094cfc610b9853b8ca6"
    ),
    "ogb/ogbg_molesol/raw/edge": (
        "d4fbb9ea8127e76ac915bb650d61db36e5e5ae2695b2e869818e7632d7bec0af"
    ),
    "ogb/ogbg_molesol/raw/edge-feat": (
        "da5e2351193a7ef5cd3d4d78a9527797d52ca64e5af52ea4f14adcafdb0c1693"
    ),
    "ogb/ogbg_molesol/raw/graph-label": (
        "049ab083983327bd4e2d0bcdb019d6ae4c0316ae676e6add0403a5a7e94c5cad"
    ),
    "ogb/ogbg_molesol/raw/node-feat": (
        "1500decb89013de31586a9725b3fe984b84cb2696f8411880ddbb09ecb3112f0"
    ),
    "ogb/ogbg_molesol/raw/num-edge-list": (
        "8cc54b817d1f5c999cfd69dc9c09aebdddee942f8fd95f2462fb53699eae9ce0"
    ),
    "ogb/ogbg_molesol/raw/num-node-list": (
        "57de66bbe53142b5bd7329e8aa5e7812dfbeffe80b6ba500b14e7d354aaa17ac"
    ),
    "ogb/ogbg_molesol/split/scaffold/test": (
        "3a2367389a4d0f2d3cada1ba19d82c83edcb4db58bd564273b14b8a33749cde2"
    ),
    "ogb/ogbg_molesol/split/scaffold/train": (
        "07a08a743001b8faa61ffb62130ac60e4f89355912fd798da7a471e233cb5d1b"
    ),
    "ogb/ogbg_molesol/split/scaffold/valid": (
        "fc4ddf102e27ab6436128e151dc1e83c9f2cf2be3e8c4007543dcf97bd13ff53"
    ),
    "ogb/ogbg_molfreesolv/raw/edge": (
        "adafd5b17b4d744d165993e47b1c4b9594ab15b443d4b06914b556ce8068b981"
    ),
    "ogb/ogbg_molfreesolv/raw/edge-feat": (
        "4452afab3488e10c904273869772d56dbe8999d05f59c295c5da771b243b08d6"
    ),
    "ogb/ogbg_molfreesolv/raw/graph-label": (
        "70f2a5492e15e12efd8232e77de4bcc424a8592ebb59512df511c80047aa5dff"
    ),
    "ogb/ogbg_molfreesolv/raw/node-feat": (
        "27bbc31354d94d402d5d3b4036192a0f8dd0cd522cf4ceb579b451e7e3b58098"
    ),
    "ogb/ogbg_molfreesolv/raw/num-edge-list": (
        "e33e4a165783062b81f2d163907153f7cc19e6fc177b8039873b11f094d713c2"
    ),
    "ogb/ogbg_molfreesolv/raw/num-node-list": (
        "ea4163f5cf6745a8f18f270fea7a492765057a8eafb1f54300a2febafb353df9"
    ),
    "ogb/ogbg_molfreesolv/split/scaffold/test": (
        "03bd483c8c2b4997aa560dd9e2c201faacb1768fb6411df7cfc5b96959e73a6d"
    ),
    "ogb/ogbg_molfreesolv/split/scaffold/train": (
        "6fbefde21d5380762445203528e5d8f4cee22b2ca57c40047a679c5528f48e83"
    ),
    "ogb/ogbg_molfreesolv/split/scaffold/valid": (
        "b5c18ff6c6974d6da6f3567ba4eebc9c66f5670b93ea12e0a7bb4f6b82c16bda"
    ),
    "ogb_rebuilt/ogbg_molhiv/raw/edge": (
        "a11ad8bbb3b8600ef5a8dc00389b2975057f89cdb52311197fd082d1a838f71d"
    ),
    "ogb_rebuilt/ogbg_molhiv/raw/edge-feat": (
        "c74cf57b624733ab394b8482c50f2f6071e112f4913c9eb55b7bee4d5b09355c"
    ),
    "ogb_rebuilt/ogbg_molhiv/raw/graph-label": (
        "b70e7316c941d4a3746963b1add0255fddbb8bd7a3ad21d753d1b071e77f48b2"
    ),
    "ogb_rebuilt/ogbg_molhiv/raw/node-feat": (
        "d83f5ba60aec80d3cf1d87c501a18f9ac16f3e350ff146b2ebf4c90711ee9236"
    ),
    "ogb_rebuilt/ogbg_molhiv/raw/num-edge-list": (
        "5fb14dc35ff528e59bb7760193e7852e33d9e493a660256eb6262ba2d88ef32d"
    ),
    "ogb_rebuilt/ogbg_molhiv/raw/num-node-list": (
        "e25ab8aa88f49f25459c9c4c9a6155f58d139b1fde4d5f745ad82d0a09bdf8b8"
    ),
    "ogb_rebuilt/ogbg_molhiv/split/scaffold/test": (
        "bef366500e73638b0ee800d0b1573db80e7b9b2f9543c08090a00a74c024bb92"
    ),
    "ogb_rebuilt/ogbg_molhiv/split/scaffold/train": (
        "4eec57b6815de7fb4be3455501eb0736a9cc8f3650a226bc09636cd75f4fa14d"
    ),
    "ogb_rebuilt/ogbg_molhiv/split/scaffold/valid": (
        "f9bbece9771fc54bd780e241ca7a36ba092caf47df9ddf625d09ad22481d4a45"
    ),
}
