module com.example {
  requires dev.vbn.api;
  requires dev.vbn.state;
}
