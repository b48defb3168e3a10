// dlib's MMOD face detector, timed, for bench/detect_speed.py: the wheel on PyPI has no BLAS, Debian's libdlib is built against one.
//
//     g++ -O3 -std=c++17 -march=native bench/dlib_mmod.cpp -o dlib_mmod -ldlib -llapack -lblas -lpthread
//     dlib_mmod mmod_human_face_detector.dat PICTURE.npy…      a line "0" on its input times the first picture
//
// Pictures are (height, width, 3) uint8 RGB. Each line of output is [wall ms, processor ms, [[left, top, right, bottom]…]], edges exclusive.
#include <dlib/data_io.h>
#include <dlib/dnn.h>
#include <dlib/image_processing.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

template <long filters, int stride, typename below>
using layer = dlib::relu<dlib::affine<dlib::con<filters, 5, 5, stride, stride, below>>>;
template <typename below>
using shrunk = layer<32, 2, layer<32, 2, layer<16, 2, below>>>;
template <typename below>
using deep = layer<45, 1, layer<45, 1, layer<45, 1, below>>>;
using network = dlib::loss_mmod<dlib::con<1, 9, 9, 1, 1, deep<shrunk<dlib::input_rgb_image_pyramid<dlib::pyramid_down<6>>>>>>;

dlib::matrix<dlib::rgb_pixel> picture(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    char start[10];
    file.read(start, 10);
    std::string header(static_cast<unsigned char>(start[8]) + 256 * static_cast<unsigned char>(start[9]), ' ');
    file.read(&header[0], static_cast<std::streamsize>(header.size()));
    long height = 0, width = 0;
    const auto shape = header.find('(');
    if (!file || shape == std::string::npos || std::sscanf(header.c_str() + shape, "(%ld, %ld, 3)", &height, &width) != 2) {
        std::cerr << path << " is no (height, width, 3) array\n";
        std::exit(2);
    }
    dlib::matrix<dlib::rgb_pixel> pixels(height, width);
    file.read(reinterpret_cast<char*>(&pixels(0, 0)), 3 * height * width);
    return pixels;
}

int main(int count, char** words) {
    network net;
    dlib::deserialize(words[1]) >> net;
    std::vector<dlib::matrix<dlib::rgb_pixel>> pictures;
    for (int index = 2; index < count; ++index) pictures.push_back(picture(words[index]));
    for (std::size_t index; std::cin >> index;) {
        const auto wall = std::chrono::steady_clock::now();
        const auto busy = std::clock();
        const auto found = net(pictures.at(index));
        const double taken = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - wall).count();
        std::cout << "[" << taken << ", " << 1e3 * double(std::clock() - busy) / CLOCKS_PER_SEC << ", [";
        for (std::size_t face = 0; face < found.size(); ++face) {
            const auto& box = found[face].rect;
            std::cout << (face ? ", [" : "[") << box.left() << ", " << box.top() << ", " << box.right() + 1 << ", " << box.bottom() + 1 << "]";
        }
        std::cout << "]]" << std::endl;
    }
}
