//! What every builder must do, run on the fake here and on the real one in `docker`.
