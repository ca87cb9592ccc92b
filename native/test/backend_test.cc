// The list of backends.
#include "backend/backend.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "test/support/tiny_model.h"

namespace mipha {
namespace {

TEST(Backends, EachCanBeCreatedByItsNameOrSaysWhyNot) {
  bool cpu = false;
  for (const BackendInfo& info : backends()) {
    EXPECT_EQ(info.available, info.reason.empty()) << info.name;
    cpu = cpu || info.name == "cpu";
    try {
      EXPECT_EQ(create_backend(info.name, std::make_shared<test::TinyModel>(), {}, {})->name(), info.name);
      EXPECT_TRUE(info.available) << info.name;
    } catch (const Error& error) {  // it has no library or no engines here, and says so itself
      EXPECT_NE(info.name, "cpu");
      EXPECT_EQ(std::string(error.what()).find("not part of this build"), std::string::npos) << error.what();
    }
  }
  EXPECT_TRUE(cpu);
  EXPECT_EQ(backends().back().name, "cpu");  // which every machine has
}

TEST(Backends, AnotherNameIsRefusedWithThoseThereAre) {
  for (const char* name : {"", "auto", "abacus", "CPU"}) {
    try {
      create_backend(name, std::make_shared<test::TinyModel>(), {}, {});
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kBackend);
      for (const BackendInfo& info : backends()) EXPECT_NE(std::string(error.what()).find(info.name), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace mipha
