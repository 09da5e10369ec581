import javafx.application.Application;
import javafx.scene.Scene;
import javafx.scene.web.WebView;
import javafx.stage.Stage;

/** Opens a URL in JavaFX's WebView. */
public class Engine extends Application {
    @Override
    public void start(Stage stage) {
        WebView view = new WebView();
        stage.setScene(new Scene(view, 400, 300));
        stage.show();
        view.getEngine().load(getParameters().getRaw().get(0));
    }

    public static void main(String[] arguments) {
        launch(arguments);
    }
}
